"""The one sentence that says what to do now would help if it were done."""

import pytest

from repaudit import gates
from repaudit.finding import Better, Measurement, Unit
from repaudit.metrics.intervals import wilson
from repaudit.profiles import parse_gate
from repaudit.render.readings import next_step
from repaudit.report import Comparison, Outcome


def share(key: str, successes: int, n: int = 1000) -> Measurement:
    return Measurement(
        key=key, value=successes / n, unit=Unit.FRACTION, better=Better.LOWER, n=n, interval=wilson(successes, n)
    )


def judged(report, *texts: str):
    return report.with_verdicts(gates.judge(report, [parse_gate(text) for text in texts]))


def compared(baseline_error_share: float | None) -> Comparison:
    return Comparison(
        value=0.01, baseline=0.01, worse=0.0, unit="fraction", better="lower", n=1000, interval=None,
        interval_reason="too few", detectable=None, baseline_error_share=baseline_error_share,
    )  # fmt: skip


def test_where_the_network_answers_nan_no_number_of_images_is_said_to_prove_anything(make_report):
    report = judged(
        make_report(share("robustness.fgsm.asr", 10), share("robustness.fgsm.error_share", 400)),
        "robustness.fgsm.asr <= 0.5 @95%",
    )

    assert [verdict.outcome for verdict in report.gates] == [Outcome.UNPROVEN]
    assert next_step(report) == (
        "this network answers with NaN or infinity under attack; images without a verdict prove nothing: "
        "mend that first."
    )


def test_what_more_images_would_prove_is_told_beside_what_they_would_not(make_report):
    report = judged(
        make_report(
            share("robustness.fgsm.asr", 10), share("robustness.fgsm.error_share", 400), share("accuracy.top1", 100)
        ),
        "robustness.fgsm.asr <= 0.5 @95%",
        "top1 <= 0.101 @95%",
    )

    assert [verdict.outcome for verdict in report.gates] == [Outcome.UNPROVEN] * 2
    assert next_step(report).endswith("mend that first; more images would prove what else is marked ~, or disprove it.")


@pytest.mark.parametrize(
    ("gate", "share_of_baseline", "told"),
    [
        ("worse(robustness.fgsm.asr) <= 0.5 @95%", 0.1, "the baseline answers with NaN"),
        ("worse(robustness.fgsm.asr) <= 0.5 @95%", 0.0, "more images would prove"),
        ("worse(robustness.fgsm.asr) <= 0.5 @95%", None, "more images would prove"),
        ("robustness.fgsm.asr <= 0.5 @95%", 0.1, "more images would prove"),
    ],
)
def test_a_baseline_without_verdicts_counts_for_gates_on_the_difference_only(
    make_report, make_verdict, gate, share_of_baseline, told
):
    key = "robustness.fgsm.asr"
    verdict = make_verdict(Outcome.UNPROVEN, gate=gate, metric=key)
    report = make_report(share(key, 10), share("robustness.fgsm.error_share", 0)).with_verdicts([verdict])

    report = report.model_copy(update={"comparisons": {key: compared(share_of_baseline)}})

    assert next_step(report).startswith(told)


def test_both_networks_are_named_where_both_answer_nan(make_report, make_verdict):
    key = "robustness.fgsm.asr"
    verdict = make_verdict(Outcome.UNPROVEN, gate=f"worse({key}) <= 0.5", metric=key)
    report = make_report(share(key, 10), share("robustness.fgsm.error_share", 1)).with_verdicts([verdict])

    report = report.model_copy(update={"comparisons": {key: compared(0.2)}})

    assert next_step(report).startswith("this network and the baseline answer with NaN")


def test_a_failure_names_what_decides_and_no_flag_that_a_page_does_not_have(make_report):
    advice = next_step(judged(make_report(share("accuracy.top1", 100)), "top1 >= 0.9"))

    assert advice.startswith("mend what accuracy.top1 measures")
    assert "-v" not in advice


def test_what_was_never_attacked_is_not_spoken_for_against_attacks(make_report):
    top1, robust = share("accuracy.top1", 900), share("robustness.fgsm.robust_accuracy", 500)

    assert "attacks" not in next_step(judged(make_report(top1), "top1 <= 0.95"))
    assert "attacks like these" in next_step(judged(make_report(top1, robust), "top1 <= 0.95"))
