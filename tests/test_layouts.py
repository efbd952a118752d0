"""Reports of every earlier 1.x layout are read, judged, paired and rendered for ever.

`tests/layouts/` keeps a report and its rows as each layout wrote them, by the program of that time. A file there is
never changed; a change of the layout adds one.
"""

import json
from pathlib import Path

import jsonschema
import pytest

from repaudit.compare import open_side
from repaudit.judge import judge_again
from repaudit.leaderboard import leaderboard
from repaudit.output import Format, rendered
from repaudit.public import Report
from repaudit.report import read, schema

FOLDER = Path(__file__).parent / "layouts"
SAVED = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_it_reads_with_every_metric_figure_and_row_that_was_written(path):
    written, report = json.loads(path.read_text()), Report.load(path)

    assert list(report.metrics) == sorted(written["metrics"])
    assert {key: metric.value for key, metric in report.metrics.items()} == {
        key: metric["value"] for key, metric in written["metrics"].items()
    }
    assert sorted(report.figures) == sorted(written["figures"])
    assert sorted(report.columns) == sorted(written["per_image"]["columns"])
    assert len(report.columns["id"]) == written["data"]["images_count"]


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_its_own_gates_come_out_as_they_did(path, tmp_path):
    written = json.loads(path.read_text())

    judged = judge_again(path, profile=None, settings=[], baseline=None, directory=tmp_path)

    assert [str(verdict.outcome) for verdict in judged.gates] == [verdict["outcome"] for verdict in written["gates"]]
    assert judged.run.exit_code == written["run"]["exit_code"]


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_what_it_says_is_written_again_without_loss(path):
    written, again = json.loads(path.read_text()), json.loads(read(path).to_json())

    def missing(before, after, where=""):
        if isinstance(before, dict):
            return [line for key in before for line in missing(before[key], after.get(key), f"{where}.{key}")]
        if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            pairs = enumerate(zip(before, after, strict=True))
            return [line for row, (one, other) in pairs for line in missing(one, other, f"{where}[{row}]")]
        return [] if before == after else [where]

    assert missing(written, again) == []


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
@pytest.mark.parametrize("format", Format)
def test_it_is_rendered_in_every_format(path, format):
    text = rendered(read(path), format)

    assert "digits-cnn" in text or format is Format.CSV
    assert "accuracy.top1" in text or "top1" in text


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_the_published_schema_accepts_it(path):
    jsonschema.Draft202012Validator(schema()).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_it_can_be_compared_with_itself_and_differs_in_nothing(path):
    board = leaderboard([path, path])
    cells = board.rows[1].cells["accuracy.top1"]

    assert cells.difference.value == 0
    assert open_side(path).report.per_image is not None
