"""Several models in one scan: one report each, a comparison, and no model pays for another's failure."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise

import pytest

from repaudit.cli._several import folder_names, places_for
from repaudit.cli.app import main
from repaudit.errors import InvalidOutput
from repaudit.public import Report

GOOD = "embedded:digits-cnn"
ASKED = ("--data", "digits", "--audits", "accuracy,calibration")


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def repaudit(tmp_path, monkeypatch, capsys):
    """The program in this process: six imports of torch would cost more than all the scans."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> Done:
        status = main(list(arguments))
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return run


@pytest.fixture
def others(model_file):
    """References of networks that share the digits: a good one, one that cannot be built."""
    model_file.write_text(model_file.read_text() + "\n\ndef absent():\n    raise RuntimeError('no such luck')\n")
    return f"py:{model_file.name}:build", f"py:{model_file.name}:absent"


def test_each_model_gets_its_report_and_all_a_comparison(repaudit, others, tmp_path):
    done = repaudit("scan", GOOD, others[0], *ASKED, "-o", "out.json", "-o", "table.md")

    assert done.returncode == 0, done.stderr
    board = json.loads((tmp_path / "out.json").read_text())
    assert [row["model"] for row in board["rows"]] == [GOOD, others[0]]
    assert board["rows"][1]["cells"]["accuracy.top1"]["difference"]["value"] == 0  # the same weights
    assert "top1" in (tmp_path / "table.md").read_text()
    assert "2 models on 900 images" in done.stdout


def test_a_folder_holds_a_folder_for_each_model(repaudit, others, tmp_path):
    done = repaudit("scan", GOOD, others[0], *ASKED, "-o", "out")

    assert done.returncode == 0, done.stderr
    reports = sorted(tmp_path.glob("out/*/report.json"))
    assert [path.parent.name for path in reports] == ["embedded-digits-cnn", "py-mynet.py-build"]
    assert {Report.load(path).metrics["accuracy.top1"].n for path in reports} == {900}
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        f"comparison.{kind}" for kind in ("json", "html", "md", "csv")
    }
    assert f"--baseline {reports[0].relative_to(tmp_path)}" in " ".join(done.stdout.split())


def test_one_model_s_failure_is_listed_and_the_rest_is_finished(repaudit, others, tmp_path):
    done = repaudit("scan", others[1], GOOD, others[0], *ASKED, "-o", "out.json")

    assert done.returncode == 3
    assert f"not measured: {others[1]}" in done.stderr
    assert "no such luck" in done.stderr
    board = json.loads((tmp_path / "out.json").read_text())
    assert len(board["rows"]) == 2
    assert f"{others[1]} was asked for and not measured" in board["notes"][0]


def test_github_is_told_of_a_model_without_a_report(repaudit, others, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    done = repaudit("scan", others[1], GOOD, *ASKED, "-q")

    (line,) = [line for line in done.stderr.splitlines() if line.startswith("::error")]
    assert "no such luck" in line
    assert "not measured" in (tmp_path / "summary.md").read_text()


def test_quiet_prints_one_line_a_model_and_its_name(repaudit, others):
    done = repaudit("scan", GOOD, others[0], *ASKED, "-q")

    assert len(done.stdout.splitlines()) == 4


def test_a_failed_gate_of_one_model_is_the_status_of_all(repaudit, others):
    asked = ("scan", GOOD, others[0], *ASKED, "-q", "--set", "gates=[top1 >= 0.999]")

    assert repaudit(*asked).returncode == 1
    assert repaudit(*asked, "--exit-zero").returncode == 0


def test_where_nothing_at_all_was_measured_the_command_must_change(repaudit, others):
    done = repaudit("scan", others[1], "nosuchmodel", *ASKED)

    assert done.returncode == 2
    assert done.stderr.count("not measured: ") == 2


def test_a_mistake_that_every_model_shares_is_told_once(repaudit, others):
    done = repaudit("scan", GOOD, others[0], *ASKED, "--set", "gates=[topp1 >= 0.9]")

    assert done.returncode == 2
    assert done.stderr.count("topp1") <= 2
    assert "not measured" not in done.stderr


def test_stdout_holds_the_comparison_alone_where_json_is_asked_for(repaudit, others):
    done = repaudit("scan", GOOD, others[0], *ASKED, "-o", "-")

    assert json.loads(done.stdout)["reference"] == GOOD


def test_what_is_interrupted_keeps_what_was_finished(tmp_path, environment, model_file):
    (tmp_path / "slow").touch()
    command = [sys.executable, "-m", "repaudit", "scan", GOOD, "py:mynet.py:slow", *ASKED, "-o", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("data digits") and (tmp_path / "out" / "embedded-digits-cnn" / "report.json").exists():
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert Report.load(tmp_path / "out" / "embedded-digits-cnn").run.exit_code == 0


def test_folder_names_are_safe_and_never_the_same():
    names = folder_names(["torchvision:resnet50/IMAGENET1K_V2", "../../etc/passwd", "a b", "a_b", "A b", "…", "a b"])

    assert names[0] == "torchvision-resnet50-IMAGENET1K_V2"
    assert not any(part in name for name in names for part in ("/", "\\", " "))
    assert not any(n[0] == "." for n in names)
    assert all(one != other for one, other in pairwise(sorted(name.lower() for name in names)))


def test_a_comparison_has_no_junit_form_and_says_what_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidOutput) as refused:
        places_for(["junit.xml"], ["a", "b"])
    assert "repaudit report" in refused.value.remedy
