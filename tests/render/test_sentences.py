"""What the numbers say in plain words: the arithmetic is done by hand here."""

import pytest

from repaudit.finding import Better, Figure, Measurement, Unit
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
    # One error in two: e + (1 − e)·log(1 − e) = 1/2 − log(2)/2 = 0.1534.
    figure = Figure(key="selective.risk_coverage", data={"coverage": [0.25, 0.5, 1.0], "risk": [0.0, 0.1, 0.5]})

    assert sentences(make_report(bare("selective.aurc", 0.2), figure), "selective") == [
        "If it answered only the 50 % of the images that it is surest of, it would be wrong on 10.0 % of them; "
        "answering all, on 50.0 %.",
        "The area under its risk–coverage curve is 0.200: a perfect ranking of these answers would have 0.153, "
        "one that says nothing 0.500.",
    ]


@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_where_every_answer_is_right_or_none_there_is_nothing_to_rank(make_report, risk):
    figure = Figure(key="selective.risk_coverage", data={"coverage": [0.5, 1.0], "risk": [risk, risk]})

    assert len(sentences(make_report(bare("selective.aurc", risk), figure), "selective")) == 1


def test_masking_that_was_not_found_is_not_called_disproved(make_report):
    report = make_report(battery(noise_ratio=check("passed"), transfer_gap=check("skipped")))

    (sentence,) = sentences(report, "masking")
    assert sentence.startswith("None of the 1 checks that could be made")
    assert "does not prove" in sentence


def test_a_failed_check_speaks_with_its_own_sentence(make_report):
    report = make_report(battery(a=check("passed"), b=check("failed", "half of it is hidden"), c=check("failed")))

    assert sentences(report, "masking") == ["2 of 3 checks failed, b first: half of it is hidden."]


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
    return ("accuracy", "calibration", "geometry", "cones", "selective", "robustness", "masking", "mistakes")


def test_an_audit_that_did_not_run_or_is_not_known_says_nothing(make_report):
    report = make_report(bare("accuracy.top1", 0.9))

    assert [audit for audit in (*report_audits(), "ghost") if sentences(report, audit)] == ["accuracy"]
