"""A small network and one call that attacks it."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import Setting, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.verdict import Evaluation
from repaudit.case import EvaluationShape
from repaudit.progress import SilentProgress
from repaudit.sources import load_model

SHAPE = EvaluationShape(rows=8, calls=2)


class Watching(SilentProgress):
    """Remembers what was opened and how far it got."""

    def __init__(self):
        self.opened, self.advanced, self.spared, self.notes = None, 0, 0, []

    def stage(self, name, total, unit):
        self.opened = (name, total, unit)
        return nullcontext(self)

    def advance(self, count):
        self.advanced += count

    def spare(self, count):
        self.spared += count

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def watching():
    return Watching


@pytest.fixture
def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
        )


@pytest.fixture
def classifier(make_classifier, network):
    return make_classifier(network, mean=0.5, std=0.5)


@pytest.fixture
def run(subjects_of) -> Callable[..., Evaluation]:
    """Attacks all initially correct images, or those of `subjects`."""

    def attack(classifier, images, setting, *, subjects=None, seed=0, shape=SHAPE, kept=frozenset()) -> Evaluation:
        return evaluate(
            classifier,
            images,
            subjects_of(classifier, images) if subjects is None else subjects,
            setting if isinstance(setting, Setting) else resolve(setting),
            seed=seed,
            shape=shape,
            progress=SilentProgress(),
            kept=kept,
        )

    return attack


@pytest.fixture
def real_classifier(assets, real_arguments, make_images):
    """A classifier with published CIFAR-10 weights and the first images of the test set's sample."""

    def load(name: str, n: int):
        stored = np.load(assets / "cifar10" / "cifar10_test_250.npz")
        images = torch.from_numpy(stored["images"]).permute(0, 3, 1, 2)[:n].contiguous()
        return load_model(**real_arguments(name)), make_images(images, stored["labels"][:n])

    return load
