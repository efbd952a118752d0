"""One row a metric, as a CSV reader and a spreadsheet would take it."""

import csv
import io
import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repaudit import gates
from repaudit.finding import Better, Measurement, Skipped, Unit
from repaudit.metrics.intervals import wilson
from repaudit.profiles import parse_gate
from repaudit.render.csv import to_csv
from repaudit.report import Outcome

FORMULA = re.compile(r"\s*[=+\-@\t\r＝＋－＠]")


def measured(key: str, value: float, **changes) -> Measurement:
    given = {"unit": Unit.RATIO, "better": Better.LOWER, "n": 1000, "interval_reason": "not resampled: cost"} | changes
    return Measurement(key=key, value=value, **given)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_each_metric_has_one_row_and_what_was_not_measured_its_reason(make_report):
    interval = wilson(812, 1000)
    top1 = measured("accuracy.top1", 0.812, unit=Unit.FRACTION, interval=interval, interval_reason=None, note="as is")
    report = make_report(
        top1, measured("calibration.mce", 0.25), Skipped(key="calibration.ece", reason="the labels are hidden")
    )

    assert table(to_csv(report)) == [
        {
            "metric": "accuracy.top1", "value": "0.812", "unit": "fraction", "better": "lower", "n": "1000",
            "low": repr(interval.low), "high": repr(interval.high), "level": "0.95", "method": "wilson",
            "reason": "", "gate": "", "verdict": "", "note": "as is",
        },
        {
            "metric": "calibration.mce", "value": "0.25", "unit": "ratio", "better": "lower", "n": "1000",
            "low": "", "high": "", "level": "", "method": "", "reason": "not resampled: cost",
            "gate": "", "verdict": "", "note": "",
        },
        {
            "metric": "calibration.ece", "value": "", "unit": "", "better": "", "n": "",
            "low": "", "high": "", "level": "", "method": "", "reason": "the labels are hidden",
            "gate": "", "verdict": "", "note": "",
        },
    ]  # fmt: skip


def test_several_gates_on_one_metric_share_its_row(make_report):
    report = make_report(measured("calibration.mce", 0.25))
    judged = report.with_verdicts(gates.judge(report, [parse_gate("mce <= 0.2"), parse_gate("mce <= 0.3")]))
    (row,) = table(to_csv(judged))

    assert (row["gate"], row["verdict"]) == ("mce <= 0.2; mce <= 0.3", "FAIL; pass")


def test_a_gate_on_a_metric_of_which_the_report_says_nothing_has_a_row(make_report, make_verdict):
    verdict = make_verdict(Outcome.NOT_MEASURED, metric="cones.never_share", reason="its audit said nothing of it")
    (row,) = table(to_csv(make_report().with_verdicts([verdict])))

    assert (row["metric"], row["value"], row["verdict"]) == ("cones.never_share", "", "NOT MEASURED")
    assert row["reason"] == "its audit said nothing of it"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_to_the_last_bit(make_report, value):
    (row,) = table(to_csv(make_report(measured("a.b", value))))

    assert float(row["value"]) == value
    assert math.copysign(1, float(row["value"])) == math.copysign(1, value)


def test_the_first_line_is_the_mark_and_lines_end_as_rfc_4180_has_it(make_report):
    text = to_csv(make_report(measured("calibration.mce", 0.25)))

    assert text.startswith("metric,value,")
    assert text.endswith("\r\n")
    assert text.count("\n") == text.count("\r\n") == 2


def test_no_foreign_text_is_a_formula_or_breaks_a_row(foreign_report, foreign):
    report = foreign_report(foreign)
    text = to_csv(report)
    rows = table(text)

    assert len(text.splitlines()) == 1 + len(rows)
    assert text.isascii() or all(character.isprintable() for row in rows for cell in row.values() for character in cell)
    numbers = {"value", "n", "low", "high", "level"}
    texts = [cell for row in rows for name, cell in row.items() if name not in numbers]
    assert [cell for cell in texts if FORMULA.match(cell)] == []
    assert all(float(row[name]) == float(row[name]) for row in rows for name in numbers if row[name])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "＝1"])
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe_and_negative_numbers_none(make_report, text):
    (row,) = table(to_csv(make_report(measured("a.b", -0.5, note=text))))

    assert row["note"] == f"'{text}"
    assert row["value"] == "-0.5"


def test_a_spreadsheet_character_inside_a_text_is_left_alone(make_report):
    (row,) = table(to_csv(make_report(measured("a.b", 1.0, note="mean confidence − accuracy, a=b"))))

    assert row["note"] == "mean confidence − accuracy, a=b"
