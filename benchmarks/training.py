"""What a step of `repaudit train` costs beside a plain loop: PIL transforms, DataLoader, float32.

    python benchmarks/training.py [--images 512]

The limit on paper: forward and backward of each image once; nothing else is needed. Both loops train the same network
on the same CIFAR-sized images with crop, mirror image and normalisation, with the same optimiser, in one process and by
turns; processor seconds, the median of three rounds. bfloat16 is used where the processor computes in it.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from repaudit.networks import BUILDERS
from repaudit.preprocessing import Preprocess
from repaudit.train.distributed import Ranks
from repaudit.train.examples import Examples, Material
from repaudit.train.loop import Conditions, train
from repaudit.train.method import parse_method
from repaudit.train.recipe import Recipe
from repaudit.train.runs import Run

ROUNDS = 3
BATCH = 64
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
WANTED = {"resnet18": (1.5, 1.25), "resnet20": (2.0, 1.25)}
"""With bfloat16, and without."""


class Pictures(Dataset):
    """As torchvision's CIFAR10 gives them."""

    def __init__(self, pixels, labels):
        self.pixels, self.labels = pixels, labels
        self.transform = v2.Compose(
            [
                v2.ToPILImage(),
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return self.transform(self.pixels[row]), int(self.labels[row])


def plain(name, pixels, labels):
    """Seconds of one epoch."""
    torch.manual_seed(0)
    network = BUILDERS[name](num_classes=10).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(Pictures(pixels, labels), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=0)
    started = time.process_time()
    for images, targets in loader:
        optimizer.zero_grad()
        F.cross_entropy(network(images), targets).backward()
        optimizer.step()
    return time.process_time() - started


def ours(name, pixels, labels, dtype, method="onehot"):
    """Seconds of one epoch, its evaluation of one batch and its checkpoint included."""
    recipe = Recipe.model_validate(
        {
            "network": {"arch": f"baseline:{name}"},
            "epochs": 1,
            "batch_size": BATCH,
            "optimizer": {"rate": 0.01},
            "augmentation": {"pad": 4, "flip": True},
        }
    )
    examples = Examples(
        stored=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels=torch.from_numpy(labels)
    )
    material = Material(
        train=examples, held_out=None, test=examples.take(np.arange(BATCH)), classes=10, class_names=None,
        preprocess=Preprocess(mean=MEAN, std=STD, size=(32, 32), source="benchmark"), train_fingerprint="0" * 64,
        test_reference="npz:x", test_rows=None,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        conditions = Conditions(
            folder=Path(folder), device=torch.device("cpu"), dtype=dtype, ranks=Ranks(), told=lambda _: None,
            stopped=lambda: False, load=lambda _: torch.nn.Identity(),
        )  # fmt: skip
        run = Run(recipe, parse_method(method), 0)
        started = time.process_time()
        train(run, material, conditions)
        return time.process_time() - started


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=512)
    count = parser.parse_args().images // BATCH * BATCH
    torch.set_num_threads(1)
    able = torch.cpu.get_capabilities()
    half = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, count)
    print(f"{count} images of 32 pixels, batches of {BATCH}, one thread, bfloat16 {'here' if half else 'not here'}")
    print(f"{'network':<10}{'labels':<10}{'precision':<11}{'plain':>10}{'ours':>10}  ratio")
    for name, (with_half, without) in WANTED.items():
        cases = [("onehot", torch.float32, without)]
        if half:
            cases += [("onehot", torch.bfloat16, with_half), ("cutmix+vs", torch.bfloat16, None)]
        for method, dtype, wanted in cases:
            pairs = [(plain(name, pixels, labels), ours(name, pixels, labels, dtype, method)) for _ in range(ROUNDS)]
            ratio = statistics.median(theirs / mine for theirs, mine in pairs)
            theirs, mine = (count / statistics.median(part) for part in zip(*pairs, strict=True))
            told = "" if wanted is None else f"  (wanted: >= {wanted:g})"
            kind = str(dtype).removeprefix("torch.")
            print(f"{name:<10}{method:<10}{kind:<11}{theirs:>8.0f}/s{mine:>8.0f}/s  {ratio:.2f} x{told}", flush=True)
    print(f"most memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB")


if __name__ == "__main__":
    main()
