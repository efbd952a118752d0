"""Tables fit the width that they are given, and names break where their parts meet."""

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from repaudit import gates
from repaudit.finding import Better, Measurement, Unit
from repaudit.metrics.intervals import Interval, Mean
from repaudit.profiles import parse_gate
from repaudit.render.table import TableColumn, folded, lay_out
from repaudit.render.terminal import print_report

KEYS = ("calibration.ece_after_temperature", "robustness.fgsm.robust_accuracy", "geometry.pearson.minimum_loss")
COLUMNS = (
    TableColumn("Metric", narrowest=18),
    TableColumn("Model", narrowest=18),
    TableColumn("Difference", right=True),
    TableColumn("95% interval"),
    TableColumn("Pairs", right=True),
    TableColumn("Told apart"),
)


def measured(key: str) -> Measurement:
    interval = Interval(level=0.95, low=0.8123, high=0.8321, method="student-t", state=Mean(0.82, 0.1, 50_000))
    return Measurement(key=key, value=0.82, unit=Unit.FRACTION, better=Better.HIGHER, n=50_000, interval=interval)


def at_width(report, width: int) -> list[str]:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, markup=False, emoji=False, highlight=False))
    return stream.getvalue().splitlines()


def compared(width: int) -> list[str]:
    names = ("robustness.pgd_s.robust_accuracy", "timm:vit_base_patch16_224", "-0.0123", "-0.0234 – -0.0012")
    row = [*(Text(name) for name in names), Text("10,000"), Text("~ not told apart", style="yellow")]
    return [line.plain for line in lay_out(COLUMNS, [row], Console(width=width), width)]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_report_is_no_wider_than_the_terminal(make_report, width):
    report = make_report(*(measured(key) for key in KEYS))
    conditions = [parse_gate(f"{key} >= 0.9 @95%") for key in KEYS]
    lines = at_width(report.with_verdicts(gates.judge(report, conditions)), width)

    assert max(len(line) for line in lines) <= width
    assert any("0.82" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_differences_are_no_wider_than_the_terminal(width):
    assert max(len(line) for line in compared(width)) <= width


@pytest.mark.parametrize("width", [60, 80])
def test_no_part_of_a_name_and_no_number_is_broken(make_report, width):
    report = make_report(*(measured(key) for key in KEYS))
    told = [*at_width(report.with_verdicts(gates.judge(report, [parse_gate(f"{KEYS[1]} >= 0.9 @95%")])), width)]
    words = set(re.findall(r"[A-Za-z]+", " ".join(told)))

    assert {"after", "temperature", "robust", "accuracy", "pearson", "minimum", "loss", "FAIL"} <= words
    assert {"50,000", "0.812", "0.832"} <= set(" ".join(told).replace(", ", " ").split())
    again = " ".join(compared(width))
    for part in ("robust_", "accuracy", "-0.0234", "-0.0012", "10,000", "patch16_", "224"):
        assert part in again, part


def test_a_wide_terminal_folds_nothing():
    assert any("robustness.pgd_s.robust_accuracy" in line for line in compared(140))


@pytest.mark.parametrize(
    ("text", "wide", "lines"),
    [
        ("fgsm.robust_accuracy", 15, ["fgsm.robust_", "accuracy"]),
        ("ece_after_temperature", 18, ["ece_after_", "temperature"]),
        (">= 0.80 @95%", 8, [">= 0.80", "@95%"]),
        ("0.681 – 0.752", 8, ["0.681 –", "0.752"]),
        ("0.947", 3, ["0.9", "47"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("漢字漢字", 5, ["漢字", "漢字"]),
        ("", 5, [""]),
    ],
)
def test_a_cell_folds_at_blanks_dots_and_underscores_before_anything_else(text, wide, lines):
    assert [part.plain for part in folded(Text(text), wide)] == lines


def test_a_folded_cell_keeps_its_colour():
    parts = folded(Text("not_measured", style="red"), 5)

    assert [(part.plain, str(part.style)) for part in parts] == [("not_", "red"), ("measu", "red"), ("red", "red")]
