"""Small networks as people keep them: in a Python file, beside their weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from repaudit.sources import ModelRequest


@pytest.fixture
def request_for() -> Callable[..., ModelRequest]:
    """A request with the command line's defaults; its notes are kept in `request.progress.notes`."""

    def make(ref: str, **changed: object) -> ModelRequest:
        defaults = {
            "arch": None,
            "arguments": {},
            "preprocess": None,
            "device": torch.device("cpu"),
            "trust_pickle": False,
            "offline": True,
            "progress": Notes(),
        }
        return ModelRequest(ref=ref, **{**defaults, **changed})

    return make


class Notes:
    """Remembers the remarks that a person would see."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def networks(tmp_path: Path, networks_file: Path) -> Path:
    """A Python file with factories, as users of `py:` have it, to change at will."""
    path = tmp_path / "networks.py"
    path.write_text(networks_file.read_text())
    return path


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """`--preprocess` with mean and std of one half."""
    path = tmp_path / "half.yaml"
    path.write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\n")
    return path


@pytest.fixture
def tiny_network() -> torch.nn.Sequential:
    """The same layers as `networks.py:tiny`, with weights of its own."""
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 5),
        ).eval()
        network[1].running_mean.normal_()
    return network


@pytest.fixture
def pixels() -> torch.Tensor:
    """Six images in [0, 1]."""
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(11))
