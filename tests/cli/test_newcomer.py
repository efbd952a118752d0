"""The README's file of a few lines gates the demo's network, and fails another for the right reason."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from repaudit.cli.app import main

README = (Path(__file__).parents[2] / "README.md").read_text()
(GATES,) = re.findall(
    r"^`repaudit.yaml` beside your code:\n\n```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL
)
UNSURE = """
import torch
from safetensors.torch import load_file
from repaudit import shipped
from repaudit.digits_network import digits_network

preprocess = {"mean": [0.0], "std": [1.0], "size": [8, 8]}


class ATenthAsSure(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = digits_network()
        self.network.load_state_dict(load_file(shipped.assets() / "digits-cnn.safetensors"))

    def forward(self, images):
        return self.network(images) / 10


def make():
    return ATenthAsSure()
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the file as the README has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "repaudit.yaml").write_text(GATES)
    (tmp_path / "unsure.py").write_text(UNSURE)
    return tmp_path


def test_the_file_is_five_lines_at_most():
    assert len(GATES.splitlines()) <= 5


def test_the_demo_s_network_passes_by_it(project, capsys):
    assert main(["scan", "embedded:digits-cnn", "--data", "digits"]) == 0

    assert "both gates hold" in capsys.readouterr().out


def test_a_network_that_is_not_sure_enough_fails_for_that_and_nothing_else(project, capsys):
    asked = ["scan", "py:unsure.py:make", "--data", "digits", "-o", "out", "-o", "junit.xml"]

    assert main(asked) == 1

    said = capsys.readouterr().out
    report = json.loads((project / "out" / "report.json").read_text())
    assert {gate["metric"]: gate["outcome"] for gate in report["gates"]} == {
        "accuracy.top1": "pass",
        "calibration.ece": "fail",
    }
    (reason,) = re.findall(r"^FAIL (.*)$", said, flags=re.MULTILINE)
    assert reason.startswith("calibration.ece is ")
    assert "Under-confident by" in said
    cases = ElementTree.parse(project / "junit.xml").findall(".//testcase")
    assert [case.get("name") for case in cases if case.find("failure") is not None] == ["ece <= 0.05 @95%"]
    page = (project / "out" / "report.html").read_text()
    assert page.index("Fails") < page.index("ece &lt;= 0.05 @95%") < page.index("Gates</h2>")
