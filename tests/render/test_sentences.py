"""What the numbers say in plain words: the arithmetic is done by hand here."""

import math

import pytest

from repaudit.finding import Better, Figure, Measurement, Notice, Unit
from repaudit.metrics.intervals import Interval, Mean
from repaudit.render.plain import number
from repaudit.render.readings import readings
from repaudit.render.sentences import sentences


def bare(key: str, value: float, n: int = 1000) -> Measurement:
    return Measurement(key=key, value=value, unit=Unit.RATIO, better=Better.LOWER, n=n, interval_reason="not sampled")


def per_class(**series) -> Figure:
    return Figure(key="accuracy.per_class", data=series)


def battery(**checks) -> Figure:
    return Figure(key="masking.battery", data=checks)


def check(verdict: str, sentence: str = "it said so") -> dict[str, object]:
    return {"value": 0.5, "threshold": 0.1, "verdict": verdict, "sentence": sentence}


def test_accuracy_names_its_worst_class_and_how_many_images_that_rests_on(make_report):
    figure = per_class(
        **{"class": [0, 1, 2], "name": ["cat", "dog", "eel"], "images": [5, 8, 4]}, accuracy=[0.8, 0.25, 1]
    )

    assert sentences(make_report(bare("accuracy.top1", 0.588, 17), figure), "accuracy") == [
        "It answers 58.8 % of 17 images right; of its 3 classes the worst is “dog”, with 25.0 % of 8."
    ]


def test_classes_that_are_never_right_are_counted_instead_of_one_being_named(make_report):
    figure = per_class(name=["a", "b", "c"], images=[1, 1, 1], accuracy=[0, 0, 1])

    (sentence,) = sentences(make_report(bare("accuracy.top1", 1 / 3, 3), figure), "accuracy")
    assert sentence.endswith("; 2 of its 3 classes it never gets right.")


@pytest.mark.parametrize(
    "series",
    [{}, {"name": ["a"], "images": [1], "accuracy": [1.0]}, {"name": "ab", "images": [1, 2], "accuracy": [0.5, 1]},
     {"name": ["a", "b"], "images": [1, "x"], "accuracy": [0.5, 1]},
     {"name": ["a", "b"], "images": 3, "accuracy": None}],
)  # fmt: skip
def test_a_figure_of_another_form_is_left_out_of_the_sentence(make_report, series):
    report = make_report(bare("accuracy.top1", 0.5, 10), per_class(**series))

    assert sentences(report, "accuracy") == ["It answers 50.0 % of 10 images right."]


def test_selective_compares_half_the_images_with_all_and_the_area_with_both_extremes(make_report):
    # 500 right, then 500 wrong: 1/2 − (H(1000) − H(500))/2, and H(1000) − H(500) = log 2 − 1/2000 + … = 0.69265.
    figure = Figure(key="selective.risk_coverage", data={"coverage": [0.25, 0.5, 1.0], "risk": [0.0, 0.1, 0.5]})

    assert sentences(make_report(bare("selective.aurc", 0.2), figure), "selective") == [
        "If it answered only the 50 % of the images that it is surest of, it would be wrong on 10.0 % of them; "
        "answering all, on 50.0 %.",
        "The area under its risk–coverage curve is 0.200: a perfect ranking of these answers would have 0.154, "
        "one that says nothing 0.500.",
    ]


@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_where_every_answer_is_right_or_none_there_is_nothing_to_rank(make_report, risk):
    figure = Figure(key="selective.risk_coverage", data={"coverage": [0.5, 1.0], "risk": [risk, risk]})

    assert len(sentences(make_report(bare("selective.aurc", risk), figure), "selective")) == 1


@pytest.mark.parametrize(("n", "wrong"), [(20, 1), (7, 6), (2, 1), (1000, 37), (4000, 3999)])
def test_a_perfect_ranking_has_the_area_that_its_curve_has_image_by_image(make_report, n, wrong):
    area = sum(max(0, kept - (n - wrong)) / kept for kept in range(1, n + 1)) / n
    assert (n, wrong) != (20, 1) or area == pytest.approx(0.0025)
    figure = Figure(key="selective.risk_coverage", data={"coverage": [1.0], "risk": [wrong / n]})

    ranking = sentences(make_report(bare("selective.aurc", 0.2, n), figure), "selective")[1]

    assert f"would have {number(area)}, one" in ranking


def test_the_area_of_more_errors_than_are_summed_is_the_same(make_report):
    # H(m) = log m + γ + 1/(2m) − …: half of four million wrong.
    area = 0.5 - 0.5 * (math.log(2) + 1 / 8e6 - 1 / 4e6)
    figure = Figure(key="selective.risk_coverage", data={"coverage": [1.0], "risk": [0.5]})

    ranking = sentences(make_report(bare("selective.aurc", 0.2, 4_000_000), figure), "selective")[1]

    assert f"would have {number(area)}, one" in ranking


def test_an_attack_s_success_is_of_the_answers_with_a_verdict_where_some_have_none(make_report):
    # 852 of 1000 right, 49 broken, 407 without a verdict: 49 / 445 = 11.0 %, of 852 it would be 5.8 %.
    shares = [bare("robustness.fgsm.asr", 49 / 445, 445), bare("robustness.worst.robust_accuracy", 0.396)]
    lost = [bare(f"robustness.{attack}.error_share", 0.407) for attack in ("fgsm", "worst")]

    attack, worst = sentences(make_report(*shares, *lost), "robustness")

    assert attack.startswith(
        "The most successful attack, fgsm, breaks 11.0 % of the right answers with a verdict (407 had none);"
    )
    assert worst == (
        "Of all 1,000 images, 39.6 % are answered right whichever of these attacks is used; 407 had no verdict."
    )


def test_where_every_image_has_a_verdict_none_is_spoken_of(make_report):
    report = make_report(
        bare("robustness.fgsm.asr", 0.25, 900),
        bare("robustness.fgsm.error_share", 0.0),
        bare("robustness.worst.robust_accuracy", 0.6),
    )

    assert sentences(report, "robustness") == [
        "The most successful attack, fgsm, breaks 25.0 % of the right answers; a stronger attack can only break more.",
        "Of all 1,000 images, 60.0 % are answered right whichever of these attacks is used.",
    ]


@pytest.mark.parametrize(("sign", "word"), [(1, "Over"), (-1, "Under")])
def test_a_proven_gap_is_called_by_its_name_even_where_the_binned_error_is_within_chance(make_report, sign, word):
    low, high = sorted((sign * 0.01, sign * 0.05))
    interval = Interval(level=0.95, low=low, high=high, method="student-t", state=Mean(sign * 0.03, 0.1, 100))
    gap = Measurement(
        key="calibration.signed_gap",
        value=sign * 0.03,
        unit=Unit.RATIO,
        better=Better.NEITHER,
        n=100,
        interval=interval,
    )
    chance = Notice(code="calibration-error-within-chance", message="95 % of a calibrated model's draws lie below")

    assert sentences(make_report(gap, chance), "calibration") == [
        f"{word}-confident by 3.0 points, which its binned error is too coarse to show on so few images."
    ]


def test_where_everything_is_broken_no_attack_can_break_more(make_report):
    (sentence,) = sentences(make_report(bare("robustness.fgsm.asr", 1.0, 90)), "robustness")

    assert sentence.startswith("The most successful attack, fgsm, breaks 100.0 % of the right answers")
    assert "more" not in sentence


def test_masking_that_was_not_found_is_not_called_disproved(make_report):
    report = make_report(battery(noise_ratio=check("passed"), transfer_gap=check("skipped")))

    (sentence,) = sentences(report, "masking")
    assert sentence.startswith("None of the 1 checks that could be made")
    assert "does not prove" in sentence


def test_a_failed_check_speaks_with_its_own_sentence(make_report):
    report = make_report(battery(a=check("passed"), b=check("failed", "half of it is hidden"), c=check("failed")))

    assert sentences(report, "masking") == ["2 of 3 checks failed, b first: half of it is hidden."]


def test_transfer_is_told_with_the_surrogate_its_radius_and_its_own_accuracy(make_report):
    figure = Figure(
        key="transfer.verdicts", data={"norm": "linf", "epsilon": 8 / 255, "surrogate": "timm:resnet50\x1b[31m"}
    )
    report = make_report(bare("transfer.asr", 0.125, 80), bare("transfer.surrogate_top1", 0.9), figure)

    (sentence,) = sentences(report, "transfer")
    assert sentence.startswith("Following the gradients of timm:resnet50")
    assert "\x1b" not in sentence
    assert sentence.endswith(" (linf 8/255), which is itself right on 90.0 %, breaks 12.5 % of what both get right.")
    assert sentence in readings(report)


def test_every_audit_that_ran_has_a_sentence_of_its_own(make_report):
    report = make_report(
        bare("accuracy.top1", 0.9),
        bare("calibration.signed_gap", 0.05),
        bare("geometry.pearson.class_mean", 0.5),
        bare("geometry.pearson.minimum_loss", 0.5),
        bare("cones.never_share", 0.3),
        Measurement(
            key="mistakes.sure_share", value=0.02, unit=Unit.FRACTION, better=Better.LOWER, n=50,
            interval_reason="not sampled", note="wrong with confidence of at least 0.9",
        ),
        bare("cones.first_error_step", 80.0),
        bare("robustness.fgsm.asr", 0.25),
        bare("robustness.worst.asr", 0.25),
        bare("robustness.worst.robust_accuracy", 0.6),
    )  # fmt: skip

    assert sentences(report, "mistakes") == ["2.0 % of the images are wrong with confidence of at least 0.9."]
    assert "first wrong answer on that way comes at step 80 of 100" in sentences(report, "cones")[1]
    assert "60.0 % are answered right" in sentences(report, "robustness")[1]
    for audit in ("accuracy", "calibration", "geometry", "cones", "robustness"):
        assert sentences(report, audit)
    assert set(readings(report)) <= {text for audit in report_audits() for text in sentences(report, audit)}


def report_audits() -> tuple[str, ...]:
    clean = ("accuracy", "calibration", "geometry", "cones", "selective", "mistakes")
    return (*clean, "robustness", "transfer", "masking")


def test_an_audit_that_did_not_run_or_is_not_known_says_nothing(make_report):
    report = make_report(bare("accuracy.top1", 0.9))

    assert [audit for audit in (*report_audits(), "ghost") if sentences(report, audit)] == ["accuracy"]
