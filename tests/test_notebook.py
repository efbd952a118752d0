"""A report in a script or a notebook."""

import csv
import io
import math
import runpy
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import repaudit
from repaudit import gates
from repaudit.finding import Better, Measurement, Notice, Unit
from repaudit.metrics.intervals import wilson
from repaudit.profiles import parse_gate
from repaudit.public import Report

DOCS = Path(__file__).parent.parent / "docs"
TOP1 = Measurement(
    key="accuracy.top1", value=0.75, unit=Unit.FRACTION, better=Better.HIGHER, n=1000, interval=wilson(750, 1000)
)
SCALE = Measurement(
    key="calibration.temperature", value=1.5, unit=Unit.RATIO, better=Better.NEITHER, n=500, interval_reason="cost"
)


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_worked_example_runs_cell_by_cell(in_a_folder, capsys):
    runpy.run_path(str(DOCS / "notebook.py"))

    printed = capsys.readouterr().out
    assert "top1 >= 0.999         fail" in printed
    for name in ("report.json", "report.html", "report.md", "per_image.npz"):
        assert (in_a_folder / "audited" / name).is_file()


def test_a_saved_report_reads_back_the_same_with_its_rows(make_report, tmp_path):
    columns = {"id": np.array(["a", "b"]), "label": np.array([0, 1]), "norm": np.array([1.5, np.nan])}
    report = Report.of(make_report(TOP1, SCALE), columns)

    report.save(tmp_path / "r.json")
    again = Report.load(tmp_path / "r.json")

    assert again.metrics == report.metrics
    assert again.columns == report.columns
    assert np.isnan(again.columns["norm"][1])


def test_rows_that_differ_in_one_image_are_not_equal(make_report):
    first, second = (
        Report.of(make_report(TOP1), {"id": np.array(["a"]), "label": np.array([label])}) for label in (0, 1)
    )

    assert first.columns != second.columns


def test_a_data_frame_has_a_row_for_each_metric_and_no_bound_where_there_is_none(make_report):
    frame = Report.of(make_report(TOP1, SCALE), None).to_dataframe()

    assert list(frame.index) == ["accuracy.top1", "calibration.temperature"]
    assert frame.loc["accuracy.top1", "value"] == 0.75
    # Wilson's score interval of 750 in 1000, by hand
    z, n, share = 1.959963984540054, 1000, 0.75
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert frame.loc["accuracy.top1", "low"] == pytest.approx(centre - half, abs=1e-12)
    assert np.isnan(frame.loc["calibration.temperature", "high"])
    assert frame.loc["calibration.temperature", "interval_reason"] == "cost"


def test_a_data_frame_survives_csv(make_report):
    frame = Report.of(make_report(TOP1), None).to_dataframe()

    (row,) = csv.DictReader(io.StringIO(frame.to_csv()))
    assert float(row["value"]) == 0.75


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_notebook_shows_verdicts_and_metrics_and_nothing_foreign_acts(make_report):
    report = make_report(TOP1)
    model = report.model.model_copy(update={"resolved": "<script>alert(1)</script>\x1b[31m"})
    report = Report.of(report.model_copy(update={"model": model}), None)

    tags = _Tags()
    tags.feed(report._repr_html_())

    assert tags.open == []
    assert "script" not in tags.seen
    assert "accuracy.top1" in tags.words
    assert "<script>alert(1)</script>\\x1b[31m" in tags.words
    assert any("no gates were set" in words for words in tags.words)


def test_a_notebook_stresses_failures_shows_the_first_warnings_and_says_why_an_interval_is_missing(make_report):
    notices = [Notice(code=f"c{at}", message=f"mind <b>{at}</b>") for at in range(5)]
    report = make_report(TOP1, SCALE, *notices)
    judged = report.with_verdicts(gates.judge(report, [parse_gate("top1 >= 0.9"), parse_gate("top1 >= 0.5")]))

    shown = Report.of(judged, None)._repr_html_()

    assert shown.count("<td><strong>fail</strong></td>") == 1
    assert "<td>pass</td>" in shown
    assert "none: cost" in shown
    assert [f"mind &lt;b&gt;{at}&lt;/b&gt;" in shown for at in range(5)] == [True, True, True, False, False]
    assert "2 more in the page" in shown


def test_a_report_in_a_shell_is_one_short_line(make_report):
    report = make_report(TOP1)
    foreign = report.model.model_copy(update={"resolved": "net\n\x1b[31m"})
    judged = report.with_verdicts(gates.judge(report, [parse_gate("top1 >= 0.9")]))
    shown = Report.of(judged.model_copy(update={"model": foreign}), None)

    for text in (repr(shown), str(shown)):
        assert len(text) < 400
        assert text.isprintable()
        assert "net" in text
        assert "1 of 1 gates failed" in text
        assert f"{report.data.images_count:,} images" in text
    assert Report.of(judged, None) == Report.of(judged, None)
    assert Report.of(judged, None) != shown


def test_the_report_of_a_scan_is_the_public_one():
    assert repaudit.Report is Report


def test_a_scan_beside_a_baseline_differs_from_itself_by_exactly_nothing(in_a_folder):
    asked = {"audits": ["accuracy", "calibration"], "limit": 100}
    repaudit.scan("embedded:digits-cnn", "digits", **asked).save("old.json")

    again = repaudit.scan(
        "embedded:digits-cnn", "digits", **asked, baseline=Path("old.json"), settings=["gates=[worse(top1) <= 0]"]
    )

    assert (again.comparisons["accuracy.top1"].worse, again.comparisons["accuracy.top1"].n) == (0, 100)
    assert str(again.gates[0].outcome) == "pass"
