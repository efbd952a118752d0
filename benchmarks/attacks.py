"""PGD-10 at 8/255 against torchattacks and foolbox: one process, one thread, the same weights and images.

    REPAUDIT_ASSETS=FOLDER python benchmarks/attacks.py [IMAGES]

Prints CPU seconds, rows that went forward and backward (counted by hooks on the network, the same for all three)
and the number of robust images. Every attack starts at the image itself, so that the verdicts can be compared.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.pool import Subjects
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.case import EvaluationShape
from repaudit.classifier import Classifier
from repaudit.images import Batch, ImageSet
from repaudit.progress import SilentProgress
from repaudit.sources import load_model

NETWORKS = Path(__file__).parents[1] / "tests" / "networks.py"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPSILON, STEP, STEPS = 8 / 255, 2 / 255, 10
BATCH = 128
"""Rows that the libraries are given at a time; the pool holds as many."""


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
        self.classifier = classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier.logits(x)


@dataclass
class Counter:
    """Rows counted where they pass: in a hook on the network and in one on its logits' gradient."""

    forward: int = 0
    backward: int = 0

    def watch(self, network: nn.Module) -> None:
        def passed(_: nn.Module, __: object, logits: torch.Tensor) -> None:
            self.forward += len(logits)
            if logits.requires_grad:
                logits.register_hook(self._backward)

        network.register_forward_hook(passed)

    def _backward(self, gradient: torch.Tensor) -> None:
        self.backward += len(gradient)


def load(folder: Path, n: int) -> tuple[Classifier, Images]:
    with TemporaryDirectory() as temporary:
        preprocess = Path(temporary) / "preprocess.yaml"
        preprocess.write_text(f"mean: {list(MEAN)}\nstd: {list(STD)}\n")
        weights = str(folder / "cifar10" / "resnet20-12fca82f.th")
        classifier = load_model(weights, arch=f"py:{NETWORKS}:resnet20", preprocess=str(preprocess))
    data = np.load(folder / "cifar10" / "cifar10_test_250.npz")
    pixels = torch.from_numpy(data["images"]).permute(0, 3, 1, 2)[:n].contiguous()
    labels = data["labels"][:n].astype(np.int64)
    with torch.no_grad():
        right = (classifier.logits(pixels.float() / 255).argmax(1).numpy() == labels).nonzero()[0]
    return classifier, Images(pixels[right], labels[right])


def ours(classifier: Classifier, images: Images) -> np.ndarray:
    subjects = Subjects(ids=images.ids, labels=images.labels, logits=np.zeros((len(images), 10)))
    setting = resolve({"name": "pgd", "epsilon": EPSILON, "steps": STEPS, "step_size": STEP, "start": "clean"})
    shape = EvaluationShape(rows=32, calls=BATCH // 32)
    verdicts = evaluate(classifier, images, subjects, setting, seed=0, shape=shape, progress=SilentProgress())
    return verdicts.outcome == CODES[Outcome.BROKEN]


def by_torchattacks(classifier: Classifier, images: Images) -> np.ndarray:
    import torchattacks

    network = Pixels(classifier).eval()
    attack = torchattacks.PGD(network, eps=EPSILON, alpha=STEP, steps=STEPS, random_start=False)
    attack.set_device("cpu")
    broken = []
    for batch in images.batches(BATCH):
        adversarial = attack(batch.images, batch.labels)
        with torch.no_grad():
            broken.append(network(adversarial).argmax(1) != batch.labels)
    return torch.cat(broken).numpy()


def by_foolbox(classifier: Classifier, images: Images) -> np.ndarray:
    import foolbox

    model = foolbox.PyTorchModel(Pixels(classifier).eval(), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=False)
    broken = [attack(model, batch.images, batch.labels, epsilons=EPSILON)[2] for batch in images.batches(BATCH)]
    return torch.cat(broken).numpy()


def main() -> None:
    folder = os.environ.get("REPAUDIT_ASSETS")
    if not folder:
        sys.exit("REPAUDIT_ASSETS must name the folder of real weights and images")
    warnings.simplefilter("ignore")  # both libraries warn of their old dependencies
    torch.set_num_threads(1)
    classifier, images = load(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 250)
    counter = Counter()
    counter.watch(classifier.network)
    n = len(images)
    print(f"PGD-{STEPS} at 8/255 on resnet20, {n} initially correct images, CPU seconds of one thread\n")
    print(f"{'':14}{'CPU s':>8}{'forward':>10}{'backward':>10}{'robust':>8}{'CPU ratio':>11}{'same verdicts':>15}")
    mine: np.ndarray | None = None
    mine_s = 0.0
    for name, attack in (("repaudit", ours), ("torchattacks", by_torchattacks), ("foolbox", by_foolbox)):
        attack(classifier, images)  # imports and first allocations are not what is measured
        counter.forward = counter.backward = 0
        started = time.process_time()
        broken = attack(classifier, images)
        seconds = time.process_time() - started
        if mine is None:
            mine, mine_s = broken, seconds
        rows = f"{counter.forward / n:>10.2f}{counter.backward / n:>10.2f}"
        same = f"{int((broken == mine).sum())}/{n}"
        print(f"{name:14}{seconds:>8.2f}{rows}{int((~broken).sum()):>8}{seconds / mine_s:>11.2f}{same:>15}")
    print("\nforward and backward are rows an image, padding included")


if __name__ == "__main__":
    main()
