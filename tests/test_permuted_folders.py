"""An ONNX file on folders whose names sort otherwise than its classes: stopped, told in a table, and mended as told."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from repaudit import shipped
from repaudit.cli.app import main
from repaudit.digits_network import digits_network

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COUNT = 200


@pytest.fixture
def scan(tmp_path, monkeypatch, capsys):
    """`repaudit scan` of the embedded network as an ONNX file on the folder `set`: its status and what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    network = digits_network().eval()
    network.load_state_dict(load_file(shipped.assets() / "digits-cnn.safetensors"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated
        torch.onnx.export(
            network, (torch.zeros(2, 1, 8, 8),), "digits.onnx", dynamo=False,
            input_names=["images"], dynamic_axes={"images": {0: "n"}},
        )  # fmt: skip
    (tmp_path / "p.yaml").write_text("mean: [0.0]\nstd: [1.0]\nsize: 8\n")

    def run():
        status = main(
            ["scan", "digits.onnx", "-d", "imagefolder:set", "--preprocess", "p.yaml", "-a", "accuracy",
             "-o", "report.json", "-q"]
        )  # fmt: skip
        return status, capsys.readouterr().err

    return run


def write_folders(root, names, noise=0.0):
    """The last digits of scikit-learn's set, on none of which the embedded network was trained, one folder a class."""
    digits, rng = load_digits(), np.random.default_rng(0)
    for row in range(len(digits.target) - COUNT, len(digits.target)):
        folder = root / "set" / names[digits.target[row]]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = digits.images[row] * (255 / 16) + noise * rng.normal(size=(8, 8))
        Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8)).save(folder / f"{row}.png")


def top1(folder):
    return json.loads((folder / "report.json").read_text())["metrics"]["accuracy.top1"]["value"]


def test_folders_in_the_order_of_the_alphabet_are_refused_with_what_each_was_predicted_as(scan, tmp_path):
    write_folders(tmp_path, WORDS)

    status, said = scan()

    assert status == 2
    assert not (tmp_path / "report.json").exists()
    alphabetic = sorted(WORDS)
    rows = [line.split() for line in said.splitlines() if "-> predicted" in line]
    assert len(rows) == 5
    for row in rows:  # folder WORD (label L) -> predicted P: K of N images
        assert int(row[3].rstrip(")")) == alphabetic.index(row[1])
        assert int(row[6].rstrip(":")) == WORDS.index(row[1])
    assert 'class_to_idx.json beside the class folders, with {"eight": INDEX, …}' in said


def test_the_remedy_of_the_refusal_mends_it(scan, tmp_path):
    write_folders(tmp_path, WORDS)
    (tmp_path / "set" / "class_to_idx.json").write_text(json.dumps({word: at for at, word in enumerate(WORDS)}))

    assert scan()[0] == 0
    assert top1(tmp_path) > 0.9


def test_a_model_that_is_seldom_right_on_rightly_named_folders_passes(scan, tmp_path):
    write_folders(tmp_path, [str(digit) for digit in range(10)], noise=180)

    assert scan()[0] == 0
    assert top1(tmp_path) < 0.5


def test_names_of_folders_cannot_act_on_a_terminal_or_break_the_table(scan, tmp_path):
    names = [f"{word}\x1b[31m\n{'x' * 100}" for word in WORDS]
    write_folders(tmp_path, names)

    status, said = scan()

    assert status == 2
    assert "\x1b" not in said
    rows = [line for line in said.splitlines() if "-> predicted" in line]
    assert len(rows) == 5
    assert max(map(len, rows)) < 160
