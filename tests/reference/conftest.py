"""Real networks as plain torch, and the view of a classifier that attack libraries take."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.verdict import Evaluation
from repaudit.case import EvaluationShape
from repaudit.progress import SilentProgress


class Normalise(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (mean, std))

    def forward(self, x):
        return (x - self.mean) / self.std


class PaddedBlock(nn.Module):
    """Basic block whose shortcut is subsampled and padded with zero channels."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.extra = stride, (outside - inside) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra)))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, (inside, outside) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
            first = PaddedBlock(inside, outside, 1 if stage == 1 else 2)
            blocks = nn.Sequential(first, PaddedBlock(outside, outside, 1), PaddedBlock(outside, outside, 1))
            setattr(self, f"layer{stage}", blocks)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


class BiasedBlock(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1)
        self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride)) if stride > 1 else nn.Sequential()

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class ResNet2B(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.layer1 = nn.Sequential(BiasedBlock(8, 16, 2), BiasedBlock(16, 16, 1))
        self.linear1 = nn.Linear(1024, 100)

    def forward(self, x):
        return F.relu(self.linear1(self.layer1(F.relu(self.conv1(x))).flatten(1)))


def cnn_a():
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2048, 100),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class RealNetwork:
    build: Callable[[], nn.Module]
    file: str
    last: str
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


REAL = {
    "resnet20": RealNetwork(
        ResNet20, "resnet20-12fca82f.th", "linear", 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ),
    "cnn_a": RealNetwork(cnn_a, "cnn_a_mix.pth", "7", 100, (0.4914, 0.4824, 0.4467), (0.2023, 0.1994, 0.2010)),
    "resnet2b": RealNetwork(
        ResNet2B, "resnet2b.pth", "linear2", 100, (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
    ),
}


@pytest.fixture
def real_network(assets, make_classifier):
    """A classifier with published CIFAR-10 weights."""

    def load(name):
        real = REAL[name]
        state = torch.load(assets / "cifar10" / real.file, map_location="cpu", weights_only=True)
        state = {key.removeprefix("module."): value for key, value in state.get("state_dict", state).items()}
        head = nn.Linear(real.width, 10)
        head.load_state_dict({kind: state.pop(f"{real.last}.{kind}") for kind in ("weight", "bias")})
        body = real.build()
        body.load_state_dict(state)
        return make_classifier(nn.Sequential(Normalise(real.mean, real.std), body, head))

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
                resolve(raw),
                seed=0,
                shape=EvaluationShape(rows=32, calls=1),
                progress=SilentProgress(),
            )

        pixels = Pixels(classifier).eval()
        labels = torch.from_numpy(subjects.labels)
        return Problem(classifier, pixels, images.stored[rows].float() / 255, labels, verdicts)

    return make
