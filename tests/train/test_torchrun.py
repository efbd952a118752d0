"""Two processes that torchrun starts train as one does."""

import json
import subprocess
import sys

import pytest

NETWORK = """
from torch import nn

def make(num_classes=10, in_chans=1):
    return nn.Sequential(
        nn.Conv2d(in_chans, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )
"""
ARGUMENTS = (
    *("train", "--reg", "mixup+vs,cutmix", "--seeds", "1", "--epochs", "4", "--arch", "py:net.py:make"),
    *("--set", "augmentation.pad=1", "--device", "cpu", "--no-scan", "--jobs", "1"),
)


@pytest.mark.slow
def test_a_network_without_batch_norm_has_the_same_losses_on_two_processes_as_on_one(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "net.py").write_text(NETWORK)
    single = [sys.executable, "-m", "repaudit", *ARGUMENTS, "-o", "one"]
    double = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "-m",
        "repaudit",
        *ARGUMENTS,
        "-o",
        "two",
    ]
    for command in (single, double):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    for run in ("mixup+vs-seed0", "cutmix-seed0"):
        one, two = (
            [json.loads(line) for line in (tmp_path / folder / run / "log.jsonl").read_text().splitlines()]
            for folder in ("one", "two")
        )
        assert len(one) == 4
        assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], rel=1e-5)
        assert two[-1]["test"]["loss"] == pytest.approx(one[-1]["test"]["loss"], rel=1e-4)
        assert one[0]["loss"] != one[-1]["loss"]
