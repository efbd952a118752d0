"""What each format of a model costs: to load, to run and to attack.

    REPAUDIT_ASSETS=FOLDER python benchmarks/models.py [--only clean programs pgd loading]

One thread throughout, so that seconds of the processor are honest beside other programs. `clean`, `programs` and `pgd`
run both sides in turn in one process and print the median ratio; `loading` gives every load a process of its own.

Limits on paper. A clean pass is one forward row an image on either side; ours also normalises out of place, copies
what the graph says and keeps the feature. PGD of k steps is k + 1 forward and k backward rows of an image that holds
whoever runs them; on ONNX the twin does those, and onnxruntime is asked once more about what the twin breaks: at most
a call for every call in which something breaks. Loading is the own load, a hash of file and weights, the rows of the
proofs, and of an ONNX file the conversion.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _formats import bare_onnx, bare_torch, export, export_onnx, preprocess_file
from _loading import loaded
from _problems import Images, Problem, load
from timm import create_model

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.scout import scout, worth_a_copy
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.device import choose_shape
from repaudit.evidence import collect
from repaudit.images import Batch
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress
from repaudit.sources import classifier_of, load_model

ROUNDS = 5
LOADED = ("resnet50", "vit_base_patch16_224")
RAW = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, source="benchmark")
HALF = Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3, source="benchmark")
LEVEL = 1 / 255
FILES = (
    ("imagenet_like/mobilenetv1_025_128.onnx", HALF, 128, 1024),
    ("cifar10/resnet_4b.onnx", HALF, 32, 4096),
    ("cifar10/squeezenet_nhwc_softmax.onnx", RAW, 32, 4096),
)
"""Path, normalisation, side and number of images of the real ONNX files."""


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def in_turn(one: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Median seconds of each, and the median of their ratios, other over one; the first runs are not timed."""
    one(), other()
    pairs = [(timed(one), timed(other)) for _ in range(rounds)]
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(b / a for a, b in pairs)


def told(name: str, figures: tuple[float, float, float], bar: float | None, remark: str) -> None:
    one, other, ratio = figures
    verdict = "" if bar is None else f"  (wanted: <= {bar:g}: {'met' if ratio <= bar else 'NOT MET'})"
    print(f"  {name:34}{one:8.3f} s {other:8.3f} s {ratio:7.3f} x{verdict}  {remark}", flush=True)


class Pictures(Images):
    """In their own order, without a copy."""

    def batches(self, rows, ids=None):
        start = 0 if ids is None else len(self.ids) - len(ids)
        for part in (slice(at, at + rows) for at in range(start, len(self.ids), rows)):
            yield Batch(self.stored[part], torch.from_numpy(self.labels[part]), self.ids[part])


def pictures(count: int, side: int) -> Pictures:
    stored = torch.randint(
        0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images = Pictures(stored, np.zeros(count, dtype=np.int64))
    images.ref = images.layout = images.label_source = images.subset = "memory"
    images.class_names, images.bad_images, images.fingerprint = None, (), "0" * 64
    return images


def passed(file: Path, preprocess: Preprocess, images: Images, folder: Path):
    """The classifier of a file, what its clean pass is, and the rows of a call."""
    classifier = load_model(str(file), preprocess=str(preprocess_file(folder / "preprocess.yaml", preprocess)))
    rows = choose_shape("auto", torch.device("cpu"), classifier.card.operations).rows
    return lambda: collect(classifier, images, rows=rows, progress=SilentProgress()), rows


def clean(assets: Path, folder: Path) -> None:
    """Clean passes of ONNX files against onnxruntime alone."""
    print("\nclean pass of ONNX files: onnxruntime alone, ours")
    cases = [(assets / path, preprocess, side, count) for path, preprocess, side, count in FILES]
    for batch in (None, 1):
        name = f"resnet50_{batch or 'open'}"
        cases.append((export_onnx(create_model("resnet50"), folder / name, name, 224, batch), HALF, 224, 64))
    for file, preprocess, side, count in cases:
        images = pictures(count, side)
        ours, rows = passed(file, preprocess, images, folder)
        bare = bare_onnx(file, images.stored, preprocess, rows)
        told(file.stem, in_turn(bare, ours), 1.1, f"{count} images, {rows} rows a call")


def programs(assets: Path, folder: Path) -> None:
    """Clean passes of exported programs against the network that they were exported from."""
    print("\nclean pass of programs: torch alone, ours")
    for name, side, count in (("resnet18", 224, 32), ("vit_tiny_patch16_224", 224, 32)):
        network = create_model(name).eval()
        files = export(network, folder / f"{name}_program", name, side)
        images = pictures(count, side)
        for suffix in ("pt2", "ts", "onnx"):
            ours, rows = passed(files[suffix], HALF, images, folder)
            bare = bare_torch(network, images.stored, HALF, rows)
            told(files[suffix].name, in_turn(bare, ours, 3), None, f"{count} images, {rows} rows a call")


def attacked(problem: Problem, raw: dict[str, object]) -> tuple[Callable[[], object], list[np.ndarray]]:
    """The attack, and where each run leaves which images it broke."""
    setting, broken = resolve(raw), []

    def run() -> None:
        first = problem.pixels[: problem.shape.rows]
        copy = scout(problem.classifier, first) if worth_a_copy(setting) else None
        found = evaluate(
            problem.classifier, problem.images, problem.subjects, setting,
            seed=0, shape=problem.shape, progress=SilentProgress(), scout=copy,
        )  # fmt: skip
        broken.append(found.outcome == CODES[Outcome.BROKEN])

    return run, broken


def untrained(name: str, side: int, count: int) -> Problem:
    """A network of random weights, which is right about all images by definition."""
    torch.manual_seed(0)
    classifier = classifier_of(create_model(name).eval(), ref=name, preprocess=replace(HALF, size=(side, side)))
    images = pictures(count, side)
    images = Images(images.stored, images.labels)
    with torch.no_grad():
        logits = classifier.logits(images.stored.float() / 255).numpy()
    images.labels = logits.argmax(axis=1)
    shape = choose_shape("auto", torch.device("cpu"), classifier.card.operations)
    return Problem(name, classifier, images, Subjects(ids=images.ids, labels=images.labels, logits=logits), shape)


def pgd(assets: Path, folder: Path) -> None:
    """Attacks on an ONNX file against the same on the network that it was exported from."""
    print("\nattacks on ONNX: torch, ours on the exported file")
    cases = (
        (load(assets, "resnet2b"), 4 * LEVEL, None, 20),
        (load(assets, "resnet2b"), 4 * LEVEL, 1, 20),
        (load(assets, "resnet20").first(64), 0.5 * LEVEL, None, 20),
        (load(assets, "resnet20").first(64), 0.5 * LEVEL, None, 100),
        (untrained("resnet18", 224, 32), 1e-6, None, 5),
    )
    for number, (problem, epsilon, batch, steps) in enumerate(cases):
        network, preprocess = problem.classifier.network, problem.classifier.card.preprocess
        side = problem.images.stored.shape[-1]
        file = export_onnx(network, folder / f"pgd_{number}", problem.name, side, batch)
        classifier = load_model(str(file), preprocess=str(preprocess_file(folder / "preprocess.yaml", preprocess)))
        shape = choose_shape("auto", torch.device("cpu"), classifier.card.operations)
        raw = {"name": "pgd", "epsilon": epsilon, "steps": steps, "step_size": epsilon / 4}
        torch_run, one = attacked(problem, raw)
        onnx_run, other = attacked(replace(problem, classifier=classifier, shape=shape), raw)
        figures = in_turn(torch_run, onnx_run, 3)
        rows = f"{shape.rows} rows a call (torch {problem.shape.rows})"
        same = f"same verdicts {int((one[0] == other[0]).sum())}"
        remark = f"{len(problem)} images, {rows}, {int((~one[0]).sum())} robust, {same}"
        told(f"pgd-{steps} {problem.name} batch {batch or 'open'}", figures, 1.3, remark)


def loading(assets: Path, folder: Path) -> None:
    """Each load in a process of its own, by turns."""
    print("\nloading: by the library alone, ours, difference; imports of either; where ours goes")
    for name in LOADED:
        files = export(create_model(name), folder / f"{name}_loading", name, 224)
        preprocess_file(folder / f"{name}_loading" / "preprocess.yaml", replace(HALF, size=(224, 224)))
        for suffix, file in files.items():
            runs = [(loaded("own", suffix, file), loaded("ours", suffix, file)) for _ in range(3)]
            own, ours = (median(each["seconds"] for each in column) for column in zip(*runs, strict=True))
            imports = [median(each["imports"] for each in column) for column in zip(*runs, strict=True)]
            verdict = "met" if ours - own <= 2 else "NOT MET"
            print(
                f"  {file.name:28}{own:7.2f} s {ours:7.2f} s {ours - own:+7.2f} s  (wanted: <= 2 s: {verdict})", end=""
            )
            print(f"   imports {imports[0]:.2f} / {imports[1]:.2f} s")
            parts = sorted(runs[-1][1]["parts"].items(), key=lambda each: -each[1])
            print(
                "     " + ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts if seconds >= 0.02), flush=True
            )


CASES: dict[str, Callable[[Path, Path], None]] = {case.__name__: case for case in (clean, programs, pgd, loading)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    asked = parser.parse_args()
    assets = os.environ.get("REPAUDIT_ASSETS")
    if not assets:
        sys.exit("REPAUDIT_ASSETS must name the folder of real weights and images")
    warnings.simplefilter("ignore")  # the exporters warn of their old age
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for case in asked.only:
            CASES[case](Path(assets), Path(folder))


if __name__ == "__main__":
    main()
