"""A user's own network that fails: the exit status, and messages that can be followed."""

import re

import pytest

NETWORK = """
import torch


preprocess = {"mean": [0.25], "std": [0.5]}


class Wide(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.nn.Linear(32 * 32, 10)

    def forward(self, images):
        return self.last(images.flatten(1))


def wide():
    return Wide()


def leaves():
    raise SystemExit(0)
"""


@pytest.fixture
def network_file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(NETWORK)
    return path


def test_images_of_another_size_end_with_2_and_following_the_remedy_ends_with_0(called, network_file, tmp_path):
    command = ("scan", f"py:{network_file.name}:wide", "-d", "digits", "--audits", "accuracy")
    done = called(*command, "-o", "report.json")
    mended = re.search(r"--preprocess FILE\.yaml with (.*)", done.stderr)

    assert done.returncode == 2, done.stderr
    assert "8×8" in done.stderr
    assert "mat1 and mat2" in done.stderr
    assert "own.py, line 14, in forward" in done.stderr
    assert "defect" not in done.stderr
    assert not (tmp_path / "report.json").exists()

    (tmp_path / "mine.yaml").write_text(re.sub(r", (?=\w+:)", "\n", mended[1]) + "\n")
    again = called(*command, "--preprocess", "mine.yaml")

    assert again.returncode == 0, again.stderr


def test_a_factory_that_ends_the_program_ends_with_2_and_is_named(called, network_file):
    done = called("scan", f"py:{network_file.name}:leaves", "-d", "digits", "--audits", "accuracy")

    assert done.returncode == 2, done.stderr
    assert "own.py" in done.stderr
    assert "SystemExit" in done.stderr
