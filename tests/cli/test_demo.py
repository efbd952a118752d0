"""The first command a stranger runs."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import socket, sys

def refuse(*_):
    raise AssertionError("the demo touched the network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from repaudit.cli.app import main

status = main(["demo"])
print("timm" in sys.modules, "onnx" in sys.modules, "onnxruntime" in sys.modules, file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPAUDIT_")}
    environment |= {"REPAUDIT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_demo_runs_without_network_timm_or_onnx_and_writes_what_scan_writes(demo, folder):
    assert demo.stderr.splitlines()[-1] == "False False False"
    written = {path.name for path in (folder / "repaudit-demo").iterdir()}
    assert {"report.json", "per_image.npz"} <= written
    report = json.loads((folder / "repaudit-demo" / "report.json").read_text())
    assert {audit["id"] for audit in report["audits"]} == {
        "accuracy", "calibration", "geometry", "cones", "robustness", "selective", "masking",
    }  # fmt: skip
    assert {audit["status"] for audit in report["audits"]} == {"ok"}
    assert report["metrics"]["accuracy.top1"]["value"] > 0.92
    assert report["gates"]


def test_the_demo_names_its_data_and_licence_and_the_same_command_by_hand(demo):
    assert "CC BY 4.0" in demo.stdout
    assert "repaudit scan embedded:digits-cnn --data digits --profile demo" in demo.stdout


def test_the_demo_compares_five_baselines_with_the_one_of_one_hot_labels(demo, folder):
    table = demo.stdout.partition("labels made soft in another way:")[2]
    board = json.loads((folder / "repaudit-demo" / "comparison.json").read_text())

    assert table.split()[:6] == ["Metric", "onehot", "ls", "mixup", "cutmix", "vs"]
    assert [row["reference"] for row in board["rows"]] == [True, False, False, False, False]
    assert {row["unpaired"] for row in board["rows"]} == {None}


def test_no_line_of_the_demo_is_wider_than_a_hundred_columns(demo):
    assert max(map(len, demo.stdout.splitlines())) <= 100
