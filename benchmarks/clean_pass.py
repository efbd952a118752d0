"""What `scan`'s clean pass costs beside a bare forward loop over the same tensors.

    python benchmarks/clean_pass.py [images]

The limit: one forward row per image and nothing else. Both loops run in one process, in turn, three times; the
median ratio is the figure (wanted: at most 1.05).
"""

import statistics
import sys
import time

import numpy as np
import torch
from timm import create_model

from repaudit.evidence import collect
from repaudit.images import Batch, ImageSet
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress
from repaudit.sources import classifier_of

ROWS = 32
ROUNDS = 3


class Tensors(ImageSet):
    """Images that lie in memory, so that only the pass itself is timed."""

    def __init__(self, stored):
        self.stored = stored
        self.ids = tuple(str(row) for row in range(len(stored)))
        self.labels = np.zeros(len(stored), dtype=np.int64)
        self.ref = self.layout = self.label_source = self.subset = "memory"
        self.class_names, self.bad_images, self.fingerprint = None, (), "0" * 64

    def batches(self, rows, ids=None):
        for start in range(0, len(self.stored), rows):
            part = slice(start, start + rows)
            yield Batch(self.stored[part], torch.from_numpy(self.labels[part]), self.ids[part])


def main(count):
    torch.manual_seed(0)
    network = create_model("resnet50", pretrained=False).eval()
    stored = torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8)
    preprocess = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), source="benchmark")
    classifier = classifier_of(network, ref="resnet50", preprocess=preprocess)
    images = Tensors(stored)
    mean, std = torch.tensor(preprocess.mean).view(1, 3, 1, 1), torch.tensor(preprocess.std).view(1, 3, 1, 1)

    def bare():
        with torch.inference_mode():
            for start in range(0, count, ROWS):
                network((stored[start : start + ROWS].float() / 255 - mean) / std)

    def ours():
        collect(classifier, images, rows=ROWS, progress=SilentProgress())

    def timed(work):
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    bare()
    rounds = [(timed(bare), timed(ours)) for _ in range(ROUNDS)]
    ratio = statistics.median(b / a for a, b in rounds)
    print(f"resnet50, 224 px, {count} images, {ROWS} rows a call, {torch.get_num_threads()} threads")
    print(f"{'bare loop':<12}{statistics.median(a for a, _ in rounds):8.2f} s")
    print(f"{'clean pass':<12}{statistics.median(b for _, b in rounds):8.2f} s   {ratio:.3f} x  (wanted: <= 1.05)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 256)
