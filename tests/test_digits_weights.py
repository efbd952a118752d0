"""The weights that ship are what the committed script makes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from repaudit import shipped
from repaudit.digits_network import digits_network

SHIPPED = shipped.assets() / "digits-cnn.safetensors"
ROOT = Path(__file__).parents[1]


def unseen_right(state) -> float:
    network = digits_network()
    network.load_state_dict(state)
    digits = load_digits()
    images = torch.tensor(digits.images[-900:], dtype=torch.float32).unsqueeze(1) / 16
    with torch.no_grad():
        return float((network(images).argmax(1) == torch.tensor(digits.target[-900:])).float().mean())


def test_the_shipped_network_is_right_on_most_digits_of_writers_it_never_saw():
    assert unseen_right(load_file(SHIPPED)) > 0.92


def test_the_shipped_weights_say_where_they_come_from():
    with safe_open(SHIPPED, "pt") as file:
        metadata = file.metadata()

    assert (ROOT / metadata["recipe"]).is_file()
    assert "CC BY 4.0" in metadata["data"]


@pytest.mark.slow
def test_the_committed_script_makes_such_a_network_again(tmp_path):
    path = tmp_path / "again.safetensors"
    subprocess.run([sys.executable, ROOT / "training" / "digits_demo.py", path], check=True, cwd=ROOT)
    again = load_file(path)

    assert {name: tensor.shape for name, tensor in again.items()} == {
        name: tensor.shape for name, tensor in load_file(SHIPPED).items()
    }
    assert unseen_right(again) == pytest.approx(unseen_right(load_file(SHIPPED)), abs=0.02)
