"""A model that scans in seconds, and the program as a real subprocess."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MODEL = """
from pathlib import Path
import time

import torch
from safetensors.torch import load_file

import repaudit.shipped
from repaudit.digits_network import digits_network

preprocess = {"mean": [0.0], "std": [1.0], "size": [8, 8]}


def build():
    network = digits_network()
    network.load_state_dict(load_file(repaudit.shipped.assets() / "digits-cnn.safetensors"))
    return network


class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = build()

    def forward(self, images):
        if (Path(__file__).parent / "slow").exists():
            time.sleep(0.4)
        return self.network(images)


def slow():
    return Slow()


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        # Gradients can be had for the 8 rows on which a model is checked when it is loaded, and for no more.
        if len(gradient) > 8:
            raise RuntimeError("this gradient cannot be had")
        return gradient


class Broken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = build()

    def forward(self, images):
        return self.network(Fails.apply(images))


def broken():
    return Broken()


class Chatty(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = build()

    def forward(self, images):
        print("somebody left a print here")
        return self.network(images)


def chatty():
    print("and here")
    return Chatty()


class Leaves(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = build()

    def forward(self, images):
        if len(images) > 8:
            raise SystemExit(0)
        return self.network(images)


def leaves():
    return Leaves()
"""


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "mynet.py"
    path.write_text(textwrap.dedent(MODEL))
    return path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REPAUDIT_", "GITHUB_"))}
    return kept | {"REPAUDIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def repaudit(tmp_path: Path, environment: dict[str, str]):
    """Runs the program in an empty folder; returns the finished process with its text."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "repaudit", *map(str, arguments)],
            cwd=tmp_path, env=environment | changes, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def called(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd):
    """Calls the program in this process and an empty folder: a second instead of five where little is done."""
    from repaudit.cli.app import main

    def call(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name in set(os.environ) - set(environment):
                patch.delenv(name)
            for name, value in {"REPAUDIT_CACHE": environment["REPAUDIT_CACHE"], **changes}.items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            capfd.readouterr()
            status = main([str(argument) for argument in arguments])
            out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, status, out, err)

    return call
