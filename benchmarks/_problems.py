"""Real networks on real images, as the engine and as other libraries take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from repaudit.attacks.intake import Subjects
from repaudit.case import EvaluationShape
from repaudit.classifier import Classifier
from repaudit.device import choose_shape
from repaudit.images import Batch, ImageSet
from repaudit.sources import load_model

NETWORKS = Path(__file__).parents[1] / "tests" / "networks.py"
CHECKPOINTS = {
    "resnet20": ("resnet20-12fca82f.th", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "resnet2b": ("resnet2b.pth", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}


class Images(ImageSet):
    """Images in memory."""

    def __init__(self, stored: torch.Tensor, labels: np.ndarray) -> None:
        self.stored, self.labels = stored, labels
        self.ids = tuple(str(row) for row in range(len(labels)))

    def batches(self, rows, ids=None):
        chosen = [int(name) for name in (self.ids if ids is None else ids)]
        for start in range(0, len(chosen), rows):
            part = chosen[start : start + rows]
            yield Batch(self.stored[part], torch.from_numpy(self.labels[part]), tuple(map(str, part)))


class Pixels(nn.Module):
    """Pixels to logits: how the libraries see the network."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier, self.network = classifier, classifier.network  # a submodule tells libraries the device

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier.logits(x)


@dataclass(frozen=True)
class Problem:
    """Initially correct images of one network."""

    name: str
    classifier: Classifier
    images: Images
    subjects: Subjects
    shape: EvaluationShape
    """Of our calls, as `scan` chooses it; the libraries get as many rows at a time as the pool holds."""

    @property
    def batch(self) -> int:
        return self.shape.rows * self.shape.calls

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> torch.Tensor:
        return self.images.stored.float() / 255

    @property
    def labels(self) -> torch.Tensor:
        return torch.from_numpy(self.images.labels)

    def first(self, n: int) -> Problem:
        images = Images(self.images.stored[:n], self.images.labels[:n])
        subjects = Subjects(ids=images.ids, labels=images.labels, logits=self.subjects.logits[:n])
        return replace(self, images=images, subjects=subjects)


def load(assets: Path, name: str) -> Problem:
    """All initially correct ones among the 250 images of the sample."""
    weights, mean, std = CHECKPOINTS[name]
    with TemporaryDirectory() as temporary:
        preprocess = Path(temporary) / "preprocess.yaml"
        preprocess.write_text(f"mean: {list(mean)}\nstd: {list(std)}\n")
        classifier = load_model(
            str(assets / "cifar10" / weights), arch=f"py:{NETWORKS}:{name}", preprocess=str(preprocess)
        )
    data = np.load(assets / "cifar10" / "cifar10_test_250.npz")
    stored = torch.from_numpy(data["images"]).permute(0, 3, 1, 2).contiguous()
    labels = data["labels"].astype(np.int64)
    with torch.no_grad():
        logits = classifier.logits(stored.float() / 255).numpy()
    right = (logits.argmax(1) == labels).nonzero()[0]
    images = Images(stored[right], labels[right])
    shape = choose_shape("auto", torch.device("cpu"), classifier.card.operations)
    subjects = Subjects(ids=images.ids, labels=images.labels, logits=logits[right])
    return Problem(name, classifier, images, subjects, shape)
