"""What must be minded about the data reaches whoever reads the report, not only whoever watched the scan."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from repaudit.conductor import Order, Scanned, carry_out
from repaudit.profiles import load
from repaudit.progress import SilentProgress
from repaudit.render.terminal import print_report


@pytest.fixture
def scanned(tmp_path, monkeypatch) -> Scanned:
    """Forty digits as files in folders that only their order explains, one of 16 bits and one spoilt."""
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    for row in range(1000, 1040):
        folder = tmp_path / "set" / "abcdefghij"[digits.target[row]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(digits.images[row] * (255 / 16)).astype(np.uint8)).save(folder / f"{row}.png")
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "set/a/deep.png")
    (tmp_path / "set/a/spoilt.png").write_bytes(b"no image")
    profile = load("quick", audits=["accuracy"], settings=[], limit=None, directory=tmp_path)
    order = Order(
        model="embedded:digits-cnn", data=f"imagefolder:{tmp_path / 'set'}", profile=profile, skip_bad_images=True
    )
    return carry_out(order, SilentProgress())


def test_warnings_of_the_data_stand_first_in_the_report(scanned):
    codes = [warning["code"] for warning in json.loads(scanned.report.to_json())["warnings"]]

    assert codes[:3] == ["labels-by-position", "bad-images-left-out", "clipped-to-8-bits"]


def test_warnings_of_the_data_are_printed_with_the_report(scanned):
    stream = io.StringIO()

    print_report(scanned.report, Console(file=stream, width=100))

    printed = " ".join(stream.getvalue().split())
    assert "a/spoilt.png" in printed
    assert "sorted names" in printed
    assert "1 of 41 images" in printed


def test_warnings_of_the_data_hold_no_path_of_this_machine(scanned, tmp_path: Path):
    assert all(str(tmp_path) not in warning.message for warning in scanned.report.warnings)
