"""Cones against the step-by-step loop, class centres, and the clean-pass audits on synthetic evidence; one table.

python benchmarks/geometry.py [--images 50000] [--width 2048] [--classes 1000]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from repaudit.audits import Material, bind, names
from repaudit.case import EvaluationShape
from repaudit.classifier import Card, Classifier, HeadCard
from repaudit.evidence import Evidence
from repaudit.images import ImageSet
from repaudit.metrics.centers import descent_centers
from repaudit.metrics.cones import first_error_steps, ray_limits
from repaudit.metrics.frank_wolfe import sphere_centers
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress

T = TypeVar("T")
LOOP_IMAGES = 500


class NoImages(ImageSet):
    class_names = None
    ids = ()

    def batches(self, rows, ids=None):
        return iter(())


@dataclass
class Timed:
    value: object
    seconds: float


def timed(work: Callable[[], T]) -> Timed:
    start = time.perf_counter()
    value = work()
    return Timed(value, time.perf_counter() - start)


class PeakMemory:
    """Largest growth of private memory in MB; pages of mapped files do not count."""

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = private_megabytes()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.stop.wait(0.01):
            self.peak = max(self.peak, private_megabytes())

    @property
    def growth(self) -> float:
        return self.peak - self.start


def private_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def synthetic(folder: Path, images: int, width: int, classes: int) -> Evidence:
    """Features around class means seen through rectification, and a head that mostly recognises them."""
    rng = np.random.Generator(np.random.PCG64(0))
    labels = rng.integers(0, classes, images)
    means = rng.standard_normal((classes, width)).astype(np.float32)
    weight = ((means + rng.standard_normal((classes, width))) * 0.05).astype(np.float32)
    bias = (rng.standard_normal(classes) * 0.2).astype(np.float32)
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, (images, width))
    logits = np.lib.format.open_memmap(folder / "logits.npy", "w+", np.float32, (images, classes))
    for start in range(0, images, 2000):
        rows = slice(start, start + 2000)
        noise = rng.standard_normal((len(labels[rows]), width)).astype(np.float32)
        features[rows] = np.maximum(0.08 * means[labels[rows]] + 0.5 * noise, 0)
        logits[rows] = features[rows] @ weight.T + bias
    features.flush()
    logits.flush()
    return Evidence(
        ids=tuple(map(str, range(images))),
        labels=labels,
        logits=np.load(folder / "logits.npy", mmap_mode="r"),
        features=np.load(folder / "features.npy", mmap_mode="r"),
        weight=weight,
        bias=bias,
    )


def loop_steps(features: np.ndarray, weight: np.ndarray, bias: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Moves every feature to the origin in 100 steps and asks the head each time."""
    first = np.full(len(labels), 100)
    for step in range(100, 0, -1):
        wrong = (features * (1 - step / 100) @ weight.T + bias).argmax(axis=1) != labels
        first[wrong] = step
    return first


def cones_table(evidence: Evidence) -> None:
    rows = np.flatnonzero(evidence.summary.correct)[:LOOP_IMAGES]
    features, weight = evidence.features[rows].astype(np.float64), evidence.weight.astype(np.float64)
    bias, labels = evidence.bias.astype(np.float64), evidence.labels[rows]
    loop = timed(lambda: loop_steps(features, weight, bias, labels))
    logits = features @ weight.T + bias
    right = np.ones(len(rows), dtype=bool)
    closed = min(
        (timed(lambda: first_error_steps(ray_limits(logits, bias, labels, right).lower)) for _ in range(5)),
        key=lambda run: run.seconds,
    )
    equal = float((closed.value.step == loop.value).mean())
    row("cones: 100-step loop", f"{loop.seconds:.3f} s", f"{len(rows)} images, float64")
    row("cones: closed form", f"{closed.seconds:.4f} s", f"{loop.seconds / closed.seconds:.0f} × faster")
    row("cones: equal step indices", f"{equal:.2%}", "")


def centers_table(width: int, classes: int) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    weight = (rng.standard_normal((classes, width)) * 0.1).astype(np.float32)
    bias = (rng.standard_normal(classes) * 0.1).astype(np.float32)
    sphere = timed(lambda: sphere_centers(weight, bias, 40.0, np.arange(classes)))
    found = sphere.value
    note = f"{found.iterations.mean():.0f} iterations, worst 1 − cos {np.nanmax(found.misalignment):.0e}"
    row(f"centres on the sphere, {classes} × {width}", f"{sphere.seconds:.2f} s", note)
    descent = timed(lambda: descent_centers(weight, bias, np.arange(classes)))
    row("centres by 100 descent steps", f"{descent.seconds:.2f} s", "")


def audits_table(evidence: Evidence, classes: int) -> None:
    preprocess = Preprocess(mean=(0.0,), std=(1.0,), source="synthetic")
    card = Card(
        ref="synthetic",
        resolved="synthetic",
        source="synthetic",
        architecture="synthetic",
        arguments={},
        weights_sha256="0" * 64,
        files={},
        preprocess=preprocess,
        params_count=0,
        classes_count=classes,
        class_ids=None,
        head=HeadCard(kind="linear"),
    )
    material = Material(
        classifier=Classifier(nn.Identity(), card, None, torch.device("cpu"), frozenset()),
        images=NoImages(),
        evidence=evidence,
        seed=0,
        shape=EvaluationShape(rows=8, calls=1),
        progress=SilentProgress(),
    )
    total = 0.0
    for name in ("geometry", "cones", "calibration"):
        if name not in names():
            row(f"audit {name}", "absent", "")
            continue
        audit = bind(name, {})
        with PeakMemory() as memory:
            run = timed(lambda audit=audit: list(audit.run(material)))
        total += run.seconds
        row(f"audit {name}", f"{run.seconds:.2f} s", f"peak {memory.growth:.0f} MB beyond the mapped arrays")
    row("audits together", f"{total:.2f} s", "")


def row(what: str, figure: str, note: str) -> None:
    print(f"{what:<40}{figure:>12}   {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    given = parser.parse_args()
    centers_table(1280, given.classes)
    with tempfile.TemporaryDirectory() as folder:
        evidence = synthetic(Path(folder), given.images, given.width, given.classes)
        summary = timed(lambda: evidence.summary)
        accuracy = float(evidence.summary.correct.mean())
        row("summary of the logits", f"{summary.seconds:.2f} s", f"accuracy {accuracy:.2f}")
        cones_table(evidence)
        audits_table(evidence, given.classes)


if __name__ == "__main__":
    main()
