"""A matrix that trains in a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from repaudit.preprocessing import Preprocess
from repaudit.train.distributed import Ranks
from repaudit.train.examples import Examples, Material
from repaudit.train.loop import Conditions
from repaudit.train.method import parse_method
from repaudit.train.recipe import Recipe
from repaudit.train.runs import Run

BASE = {
    "network": {"arch": "baseline:conv4", "arguments": {"width": 4}},
    "epochs": 3,
    "batch_size": 16,
    "optimizer": {"rate": 0.1},
    "augmentation": {"pad": 1, "flip": True},
}


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    return lambda **changed: Recipe.model_validate(BASE | changed)


@pytest.fixture
def run(recipe) -> Callable[..., Run]:
    """A run of the small recipe; `alpha` and sections may be changed."""
    return lambda method="onehot", seed=0, alpha=None, **changed: Run(
        recipe(**changed), parse_method(method), seed, alpha
    )


@pytest.fixture
def material() -> Material:
    """Four classes of stripes with noise, 80 to train and 40 to test on."""

    def drawn(count: int, seed: int) -> Examples:
        generator = np.random.default_rng(seed)
        labels = np.arange(count) % 4
        waves = np.sin(np.arange(8)[None, :, None] * (labels[:, None, None] + 1)) * 60 + 128
        noisy = np.clip(waves + generator.normal(0, 40, (count, 8, 8)), 0, 255).astype(np.uint8)
        return Examples(stored=torch.from_numpy(noisy)[:, None], labels=torch.from_numpy(labels))

    return Material(
        train=drawn(80, 1),
        held_out=None,
        test=drawn(40, 2),
        preprocess=Preprocess(mean=(0.5,), std=(0.5,), size=(8, 8), source="test"),
        classes=4,
        class_names=None,
        train_fingerprint="0" * 64,
        test_reference="npz:test.npz",
        test_rows=None,
    )


@pytest.fixture
def conditions(tmp_path: Path) -> Callable[..., Conditions]:
    """Where a run trains; `folder` is made."""

    def make(folder: str = "run", **changed: object) -> Conditions:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        defaults = {
            "folder": place,
            "device": torch.device("cpu"),
            "dtype": torch.float32,
            "ranks": Ranks(),
            "told": lambda _: None,
            "stopped": lambda: False,
            "load": lambda _: None,
        }
        return Conditions(**defaults | changed)

    return make
