"""A report as files of every format, by the program itself."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from repaudit.cli.app import main
from repaudit.public import Report

SAVED = Path(__file__).parents[1] / "layouts" / "1.0-baseline.json"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with a saved report and its rows."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAVED, tmp_path / "old.json")
    shutil.copy(SAVED.with_name("1.0-baseline.per_image.npz"), tmp_path)
    return tmp_path


def test_a_saved_report_is_written_in_every_format_by_its_extension(folder, capsys):
    assert main(["report", "old.json", "-o", "a.html", "-o", "b.md", "-o", "c.xml", "-o", "d.csv"]) == 0

    assert (folder / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert (folder / "b.md").read_text().startswith("<!-- repaudit report -->")
    assert '<testsuites name="repaudit"' in (folder / "c.xml").read_text()
    assert (folder / "d.csv").read_text().startswith("metric,value,")
    assert capsys.readouterr().err.count("report: ") == 4


def test_a_folder_gets_the_report_with_its_rows_the_page_markdown_and_figures(folder):
    assert main(["report", "old.json", "-o", "out"]) == 0

    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"report.json", "per_image.npz", "report.html", "report.md", "figures"}
    drawn = {path.suffix for path in (folder / "out" / "figures").iterdir()}
    assert drawn == {".svg", ".png"}
    assert Report.load(folder / "out").columns == Report.load(folder / "old.json").columns


def test_a_folder_is_written_twice_without_complaint(folder):
    assert main(["report", "old.json", "-o", "out"]) == main(["report", "out", "-o", "out"]) == 0


def test_a_report_judged_again_is_written_with_its_new_verdicts_and_fails_as_it_should(folder):
    assert main(["gate", "old.json", "--set", "gates=[top1 >= 0.999]", "-q", "-o", "junit.xml", "-o", "new.json"]) == 1

    assert "<failure" in (folder / "junit.xml").read_text()
    judged = json.loads((folder / "new.json").read_text())
    assert [gate["outcome"] for gate in judged["gates"]] == ["fail"]
    assert judged["run"]["exit_code"] == 1
    assert main(["gate", "new.json", "-q"]) == 1  # judged once more it asks the same
    assert json.loads((folder / "old.json").read_text())["run"]["exit_code"] == 0


def test_json_of_a_judged_report_goes_to_stdout_alone(folder, capsys):
    assert main(["gate", "old.json", "-o", "-"]) == 0

    assert json.loads(capsys.readouterr().out)["per_image"] is None


def test_without_its_rows_a_report_is_written_all_the_same_and_names_none(folder):
    (folder / "1.0-baseline.per_image.npz").unlink()

    assert main(["report", "old.json", "-o", "new.json"]) == 0
    assert json.loads((folder / "new.json").read_text())["per_image"] is None


def test_rows_of_another_report_are_refused_and_nothing_is_written(folder, capsys):
    (folder / "1.0-baseline.per_image.npz").write_bytes(b"other")

    assert main(["report", "old.json", "-o", "new.json"]) == 2
    assert "sha256 differs" in capsys.readouterr().err
    assert not (folder / "new.json").exists()


def test_somebody_elses_page_is_left_as_it_is(folder, capsys):
    (folder / "index.html").write_text("<h1>mine</h1>")

    assert main(["report", "old.json", "-o", "index.html"]) == 2
    assert (folder / "index.html").read_text() == "<h1>mine</h1>"
    assert "is no report of repaudit" in capsys.readouterr().err


def test_a_partial_report_never_replaces_a_complete_page(folder):
    assert main(["report", "old.json", "-o", "page.html", "-o", "copy.json"]) == 0
    partial = json.loads((folder / "old.json").read_text())
    partial["run"] |= {"status": "partial", "exit_code": 3, "message": "geometry: out of memory"}
    (folder / "half.json").write_text(json.dumps(partial))
    before = (folder / "page.html").read_bytes()

    assert main(["report", "half.json", "-o", "page.html", "-o", "copy.json"]) == 0

    assert (folder / "page.html").read_bytes() == before
    assert "geometry: out of memory" in (folder / "page.partial.html").read_text()
    assert json.loads((folder / "copy.json").read_text())["run"]["status"] == "complete"
    assert json.loads((folder / "copy.partial.json").read_text())["run"]["status"] == "partial"


def test_figures_of_an_earlier_report_do_not_stay_and_other_files_do(folder):
    assert main(["report", "old.json", "-o", "out"]) == 0
    (folder / "out" / "figures" / "mine.svg").write_text("<svg/>")
    bare = json.loads((folder / "old.json").read_text())
    bare["figures"] = {"accuracy.per_class": bare["figures"]["accuracy.per_class"]}
    (folder / "bare.json").write_text(json.dumps(bare))

    assert main(["report", "bare.json", "-o", "out"]) == 0

    left = {path.name for path in (folder / "out" / "figures").iterdir()}
    assert left == {"accuracy-per-class.svg", "accuracy-per-class.png", "mine.svg"}


def test_a_judged_report_names_the_profile_that_judged_it(folder, capsys):
    (folder / "mine.yaml").write_text("audits: [accuracy]\ngates: [top1 >= 0.5]\n")

    assert main(["gate", "old.json", "-p", "mine.yaml", "-q", "-o", "new.json"]) == 0
    assert "profile mine.yaml" in capsys.readouterr().out
    assert json.loads((folder / "new.json").read_text())["profile"]["name"] == "mine.yaml"


@pytest.mark.parametrize(
    ("gate", "told"),
    [("ece <= 0.2 @99.9%", "which has no bound"), ("top1 >= 0.95 @95% strict", ", not proven)")],
)
def test_the_one_line_says_why_a_number_that_looks_good_failed(folder, capsys, gate, told):
    assert main(["gate", "old.json", "--set", f"gates=[{gate}]", "-q"]) == 1

    assert told in capsys.readouterr().out


def test_a_missing_library_is_named_and_is_no_defect(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert main(["report", "old.json", "-o", "page.html"]) == 3
    said = capsys.readouterr().err
    assert "pip install matplotlib" in said
    assert "defect" not in said
