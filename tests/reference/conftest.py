"""Real networks as plain torch, and the view of a classifier that attack libraries take."""

from collections.abc import Callable
from dataclasses import dataclass

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


@pytest.fixture
def real_network(real_arguments):
    """A classifier with published CIFAR-10 weights."""

    def load(name):
        return load_model(**real_arguments(name))

    return load


@pytest.fixture
def cifar_images(assets, make_images):
    """The first images of the CIFAR-10 test set's sample."""

    def load(n):
        stored = np.load(assets / "cifar10" / "cifar10_test_250.npz")
        images = torch.from_numpy(stored["images"]).permute(0, 3, 1, 2)[:n].contiguous()
        return make_images(images, stored["labels"][:n])

    return load


@pytest.fixture
def small_classifier(make_classifier):
    """A network made here, so that the comparison runs without any file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make_classifier(
            nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)),
            mean=0.5,
            std=0.5,
        )


class Pixels(nn.Module):
    """Pixels to logits: how attack libraries see a classifier."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier, self.network = classifier, classifier.network

    def forward(self, x):
        return self.classifier.logits(x)


@dataclass(frozen=True)
class Problem:
    """Initially correct images and what our harness says of them."""

    classifier: object
    pixels: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    verdicts: Callable[..., Evaluation]


@pytest.fixture
def problem(request, subjects_of, predicted_images):
    """The attack problem of a name: `small`, or a real network."""

    def make(name, n=None):
        n = n or (40 if name == "resnet20" else 60)  # the dearest of them gets fewer
        if name == "small":
            classifier = request.getfixturevalue("small_classifier")
            images = predicted_images(classifier, n)
        else:
            classifier = request.getfixturevalue("real_network")(name)
            images = request.getfixturevalue("cifar_images")(n)
        subjects = subjects_of(classifier, images, rows=32)
        position = {name: row for row, name in enumerate(images.ids)}
        rows = [position[name] for name in subjects.ids]

        def verdicts(raw):
            return evaluate(
                classifier,
                images,
                subjects,
                raw if isinstance(raw, Setting) else resolve(raw),
                seed=0,
                shape=EvaluationShape(rows=32, calls=1),
                progress=SilentProgress(),
            )

        pixels = Pixels(classifier).eval()
        labels = torch.from_numpy(subjects.labels)
        return Problem(classifier, pixels, images.stored[rows].float() / 255, labels, verdicts)

    return make
