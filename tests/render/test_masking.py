"""Beside every robustness figure stands whether the gradients behind it can be trusted."""

import io
import json

import pytest

from repaudit import gates
from repaudit.finding import Better, Figure, Measurement, Skipped, Unit
from repaudit.profiles import parse_gate
from repaudit.render.masking import battery_line, failed_checks
from repaudit.render.terminal import console_for, print_report
from repaudit.report import AuditEntry, Report

SENTENCE = "4,747 of 4,747 gradients were exactly zero: the attack stood still"


def share(key: str, value: float) -> Measurement:
    return Measurement(
        key=key, value=value, unit=Unit.FRACTION, better=Better.LOWER, n=100, interval_reason="not resampled: cost"
    )


def check(verdict: str, value: float | None = 0.0, sentence: str = "seen") -> dict[str, object]:
    return {"value": value, "threshold": 0.01, "verdict": verdict, "sentence": sentence}


def battery(**checks: dict[str, object]) -> Figure:
    return Figure(key="masking.battery", data=checks)


ROBUSTNESS = (share("robustness.pgd_s.asr", 0.4), share("robustness.pgd_s.robust_accuracy", 0.5))
FAILED = battery(
    black_box_gap=check("passed"),
    zero_gradient=check("failed", 0.123, SENTENCE),
    gradient_cosine=check("failed", 0.5),
    transfer_gap=check("skipped", None, "no surrogate given"),
)
MEASURED = (
    share("masking.black_box_gap", 0.0),
    share("masking.zero_gradient", 0.123),
    share("masking.gradient_cosine", 0.5),
)


def lines(report: Report, *, verbose: bool = False) -> list[str]:
    stream = io.StringIO()
    print_report(report, console_for(stream), verbose=verbose)
    return stream.getvalue().splitlines()


def below(report: Report, row: str, **settings: bool) -> str:
    """The line after the first one that holds `row`, and what it was wrapped into."""
    shown = lines(report, **settings)
    start = next(number for number, line in enumerate(shown) if f" {row} " in f" {line} ")
    following = [shown[start + 1]]
    for line in shown[start + 2 :]:
        if not line.startswith("  "):
            break
        following.append(line.strip())
    return " ".join(following)


def test_robustness_without_the_battery_is_called_unchecked(make_report):
    assert (
        below(make_report(*ROBUSTNESS), "pgd_s.robust_accuracy")
        == "gradient masking: not checked (add the masking audit)"
    )


@pytest.mark.parametrize("verbose", [False, True])
def test_the_line_stands_under_the_last_robustness_row(make_report, verbose):
    more = share("robustness.pgd_w.robust_accuracy", 0.9)

    assert below(make_report(*ROBUSTNESS, more, FAILED, *MEASURED), "pgd_w.robust_accuracy", verbose=verbose) == (
        "gradient masking: 1 of 3 checks passed (1 could not be made); failed: zero_gradient (0.123), "
        "gradient_cosine (0.500)"
    )


def test_a_battery_that_passes_is_said_to_have_passed(make_report):
    passed = battery(black_box_gap=check("passed"), zero_gradient=check("passed"))

    assert battery_line(make_report(passed)) == "gradient masking: 2 of 2 checks passed"
    assert failed_checks(make_report(passed)) == []


def test_a_battery_without_a_single_check_names_the_reason(make_report):
    nothing = battery(black_box_gap=check("skipped", None, "it answers at random"))

    assert battery_line(make_report(nothing)) == "gradient masking: no check could be made (it answers at random)"


def test_an_audit_that_broke_is_named_instead_of_recommended(make_report):
    broken = AuditEntry(id="masking", version=1, status="error", reason="ValueError: x", params={}, images_count=5)

    line = below(make_report(*ROBUSTNESS, audits=[broken]), "pgd_s.robust_accuracy")

    assert line == "gradient masking: not checked (masking could not finish: ValueError: x)"


def test_reports_without_robustness_figures_say_nothing_of_masking(make_report):
    assert "gradient masking" not in " ".join(lines(make_report(share("accuracy.top1", 0.8))))


def test_a_gate_on_robustness_that_was_not_measured_has_the_line_too(make_report):
    report = make_report(Skipped(key="robustness.pgd_s.asr", reason="no gradients"))
    judged = report.with_verdicts(gates.judge(report, [parse_gate("pgd_s.asr <= 0.5")]))

    assert "gradient masking: not checked" in below(judged, "pgd_s.asr")


def test_failed_checks_have_a_row_of_their_own_and_passed_ones_only_with_verbose(make_report):
    report = make_report(*ROBUSTNESS, FAILED, *MEASURED)
    short, full = (" ".join(lines(report, verbose=verbose)) for verbose in (False, True))

    assert " zero_gradient " in short
    assert " black_box_gap " not in short
    assert " black_box_gap " in full


def test_masked_gradients_are_not_read_as_robustness(make_report):
    masked = " ".join(lines(make_report(*ROBUSTNESS, FAILED)))
    trusted = " ".join(lines(make_report(*ROBUSTNESS, battery(zero_gradient=check("passed")))))

    assert "the gradients that it followed are masked" in " ".join(masked.split())
    assert "a stronger attack can only break more" in " ".join(trusted.split())


def test_twelve_failures_still_fit_100_columns(make_report):
    names = [f"a_check_with_a_long_name_{number}" for number in range(12)]
    report = make_report(*ROBUSTNESS, battery(**{name: check("failed", 0.123) for name in names}))
    shown = lines(report)

    assert max(len(line) for line in shown) <= 100
    assert all(f"{name} (0.123)" in " ".join(" ".join(shown).split()) for name in names)


def test_the_saved_report_alone_is_enough(make_report):
    report = make_report(*ROBUSTNESS, FAILED)
    again = Report.model_validate(json.loads(report.model_dump_json()))

    assert battery_line(again) == battery_line(report)


def test_foreign_check_names_and_shapes_cannot_act(make_report):
    strange = battery(**{"\x1b[31mevil": check("failed", 0.1), "odd": 3, "verdictless": {}})
    line = battery_line(make_report(strange))

    assert "\x1b" not in line
    assert "evil (0.100)" in line
