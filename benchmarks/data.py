"""Decoding speed against torchvision's ImageFolder with the same transform, and what a remembered check costs.

    python benchmarks/data.py [FOLDER_OF_CLASS_FOLDERS]

Without a folder 320 smooth JPEGs of 500 × 375 pixels are drawn. Both sides run alternately in this process; a row
is the median of ROUNDS, the ratio is ours / theirs (below 1: ours is faster).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize, ToTensor

from repaudit.data import DataRequest, open_images
from repaudit.preprocessing import Interpolation, Preprocess
from repaudit.progress import SilentProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from repaudit.images import ImageSet

ROUNDS = 5
BATCH = 32


def draw(folder: Path, count: int = 320) -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    for number in range(count):
        coarse = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        path = folder / str(number % 4) / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=92)
        os.utime(path, (1, 1))


def opened(folder: Path, workers: int) -> ImageSet:
    preprocess = Preprocess(
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        size=(224, 224),
        resize=256,
        interpolation=Interpolation.BILINEAR,
        source="benchmark",
    )
    return open_images(
        DataRequest(
            ref=f"imagefolder:{folder}",
            preprocess=preprocess,
            classes_count=1000,
            class_ids=None,
            limit=None,
            seed=0,
            skip_bad_images=False,
            workers=workers,
            progress=SilentProgress(),
        )
    )


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def exhaust_ours(images: ImageSet) -> None:
    for batch in images.batches(BATCH):
        assert batch.stored.shape[1:] == (3, 224, 224)


def exhaust_theirs(loader: DataLoader[object]) -> None:
    for _ in loader:
        pass


def compare(folder: Path) -> None:
    resize = [Resize(256, interpolation=InterpolationMode.BILINEAR), CenterCrop(224)]
    print(f"{'workers':>7}  {'torchvision gives':<18} {'ours img/s':>10} {'theirs img/s':>12} {'ratio':>6}")
    for workers in (0, 2):
        images = opened(folder, workers)
        for kind, last in (("float32", ToTensor()), ("uint8", PILToTensor())):
            loader = DataLoader(
                ImageFolder(str(folder), transform=Compose([*resize, last])), batch_size=BATCH, num_workers=workers
            )
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(seconds(lambda images=images: exhaust_ours(images)))
                theirs.append(seconds(lambda loader=loader: exhaust_theirs(loader)))
            mine, other = statistics.median(ours), statistics.median(theirs)
            rates = f"{len(images) / mine:>10.0f} {len(images) / other:>12.0f}"
            print(f"{workers:>7}  {kind:<18} {rates} {mine / other:>6.2f}")


def check(folder: Path, cache: str) -> None:
    os.environ["REPAUDIT_CACHE"] = cache
    first, second = seconds(lambda: opened(folder, 2)), seconds(lambda: opened(folder, 2))
    print(f"opening with the check of every file: {first:.2f} s; remembered: {second:.3f} s ({first / second:.0f} ×)")


def main() -> None:
    with tempfile.TemporaryDirectory() as drawn, tempfile.TemporaryDirectory() as cache:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(drawn)
        if len(sys.argv) == 1:
            draw(folder)
        check(folder, cache)
        compare(folder)


if __name__ == "__main__":
    main()
