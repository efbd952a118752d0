"""One clean pass over the images, and what it leaves: data only, immutable, kept on disk.

A second scan of the same weights on the same images finds the arrays and does no forward pass; an
interrupted pass continues at the row where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.errors import InvalidModel, RepauditError, UnfinishedError, printable
from repaudit.finding import Notice
from repaudit.foreign import place, said
from repaudit.metrics.summary import Summary, summarize
from repaudit.numerics import row_errors, same_kernels
from repaudit.store import ArrayStore, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.classifier import Classifier, Output
    from repaudit.images import Batch, ImageSet
    from repaudit.progress import Progress, Stage

FORMAT = 2
"""Rises when the arrays on disk change their meaning."""
PROGRAMS = frozenset({"exported", "onnx"})
"""Sources whose files are code as well as weights: neither a digest of the weights nor of a graph tells two apart."""
HALF_TOLERANCE = 0.05
"""Share of the spread of an image's logits by which those of a bfloat16 pass may be rounded."""
IDS_SHOWN = 8
CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"
"""What torch says, in a plain RuntimeError, when the processor's memory is used up."""


@dataclass(frozen=True)
class Evidence:
    """Features, logits, labels and ids of every image, and the head's weights."""

    ids: tuple[str, ...]
    labels: np.ndarray
    """(n,) int64."""
    logits: np.ndarray = field(repr=False)
    """(n, c) float32, possibly a read-only memory map."""
    features: np.ndarray | None = field(repr=False)
    """(n, d) float32, or None without a linear head."""
    weight: np.ndarray | None = field(repr=False)
    """(c, d) float32."""
    bias: np.ndarray | None = field(repr=False)
    """(c,) float32."""

    @cached_property
    def summary(self) -> Summary:
        """Prediction, confidence and the like, reduced once and shared by all audits."""
        return summarize(self.logits, self.labels)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Collected:
    """Evidence, and whether it was there already."""

    evidence: Evidence
    cached: bool
    """No forward pass was needed."""
    resumed: bool
    """Part of it came from an interrupted pass."""


def collect(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: int,
    progress: Progress,
    cache: Path | None = None,
    dtype: torch.dtype = torch.float32,
    fresh: bool = False,
) -> Collected:
    """Runs the clean pass, or what is missing of it.

    The head that was proved at load must hold on every image. Where it does not, the classifier loses it, and the pass
    begins again without features.

    Args:
        classifier: whose logits and features are wanted.
        images: all of which are read, in their order.
        rows: of every call; the last call is padded so that no image meets another kernel.
        progress: shows images per second.
        cache: folder of kept passes; None keeps nothing.
        dtype: float32, or bfloat16 for an autocast pass.
        fresh: forget what an earlier pass left.

    Raises:
        InvalidModel: the network fails on the very first images, or a logit is NaN or infinite (the images are named).
        UnfinishedError: the network fails on later images; they are named.
        OSError: the cache folder filled up or vanished.
    """
    asked = partial(_collect, classifier, images, rows=rows, progress=progress, cache=cache, dtype=dtype, fresh=fresh)
    try:
        return asked()
    except _HeadFailsError as failure:
        layers = ", ".join(f"`{name}`" for name in classifier.card.head.modules)
        reason = (
            f"the logits are not affine in the input of {layers}: on `{failure.image}` they differ by "
            f"{failure.error:.2g} times their spread"
        )
        message = f"the linear head that was proved when the model was loaded does not hold on these images: {reason}"
        progress.note(f"warning: {message}; features are not used")
        classifier.lose_head(reason, Notice(code="head-does-not-hold", message=message))
        return asked()


class _HeadFailsError(Exception):
    """Features do not give the logits of an image."""

    def __init__(self, image: str, error: float) -> None:
        super().__init__(image)
        self.image, self.error = printable(image), error


def _collect(
    classifier: Classifier,
    images: ImageSet,
    *,
    rows: int,
    progress: Progress,
    cache: Path | None,
    dtype: torch.dtype,
    fresh: bool,
) -> Collected:
    split = classifier.split
    width = None if split is None else int(split.weight.shape[1])
    key = evidence_key(classifier, images, rows=rows, dtype=dtype)
    folder = None if cache is None else cache / "evidence" / key
    with open_store(folder, len(images), classifier.card.classes_count, width, fresh=fresh) as store:
        done = store.rows_done
        if done < len(images):
            start = done - done % rows
            with progress.stage("clean pass", len(images), "images") as stage:
                stage.advance(start)
                _fill(store, classifier, images, start=start, rows=rows, dtype=dtype, stage=stage)
        evidence = Evidence(
            ids=images.ids,
            labels=images.labels,
            logits=store.logits,
            features=store.features,
            weight=None if split is None else split.weight.detach().cpu().numpy(),
            bias=None if split is None else split.bias.detach().cpu().numpy(),
        )
    return Collected(evidence, cached=done == len(images), resumed=0 < done < len(images))


def evidence_key(classifier: Classifier, images: ImageSet, *, rows: int, dtype: torch.dtype) -> str:
    """sha256 over everything that can move a logit."""
    identity = {
        **evidence_identity(classifier, images, rows=rows, dtype=dtype),
        "order": hashlib.sha256("\0".join(images.ids).encode()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def evidence_identity(classifier: Classifier, images: ImageSet, *, rows: int, dtype: torch.dtype) -> dict[str, object]:
    """Everything that can move a logit of one image: weights, code, preprocessing, data, numerics, versions."""
    card = classifier.card
    return {
        "format": FORMAT,
        "weights": card.weights_sha256,
        "architecture": card.architecture,
        "arguments": dict(card.arguments),
        "files": {
            name: digest for name, digest in card.files.items() if card.source in PROGRAMS or name.endswith(".py")
        },
        "preprocess": card.preprocess.as_dict(),
        "head": [card.head.kind, *card.head.modules],
        "images": images.fingerprint,
        "dtype": str(dtype),
        "device": classifier.device.type,
        "rows": rows,
        "threads": torch.get_num_threads(),
        "versions": {
            **{name: version(name) for name in ("torch", "torchvision", "timm", "numpy", "pillow")},
            **card.engines,
        },
    }


def padded(images: torch.Tensor, rows: int) -> torch.Tensor:
    """The batch filled up to `rows` with copies of its first image."""
    missing = rows - len(images)
    if missing <= 0:
        return images
    return torch.cat([images, images[:1].expand(missing, *images.shape[1:])])


def _fill(
    store: ArrayStore,
    classifier: Classifier,
    images: ImageSet,
    *,
    start: int,
    rows: int,
    dtype: torch.dtype,
    stage: Stage,
) -> None:
    try:
        with torch.inference_mode(), same_kernels():
            for batch in images.batches(rows, images.ids[start:]):
                count = len(batch.ids)
                output = _answer(classifier, batch, rows=rows, dtype=dtype, first=start == 0)
                logits = output.logits[:count].cpu().numpy()
                _refuse_non_finite(logits, batch)
                _require_head(classifier, output, batch, dtype)
                features = None if output.features is None else output.features[:count].cpu().numpy()
                store.write(start, logits, features)
                stage.advance(count)
                start += count
    finally:
        store.save()


def _answer(classifier: Classifier, batch: Batch, *, rows: int, dtype: torch.dtype, first: bool) -> Output:
    images = padded(batch.to(classifier.device).images, rows)
    try:
        return classifier.forward(images, dtype)
    except (RepauditError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a network may raise anything, and it is not repaudit's defect
        if CPU_OUT_OF_MEMORY in str(error):
            raise
        raise _not_taken(classifier, images, error) if first else _raised(classifier, batch, error) from error


def _not_taken(classifier: Classifier, images: torch.Tensor, error: Exception) -> InvalidModel:
    """The network fails on the very first real images: nothing was measured."""
    card, size = classifier.card, (images.shape[2], images.shape[3])
    told = []
    remedy = f"a network whose forward() takes {images.dtype} images of shape {tuple(images.shape)}"
    if card.checked_size is not None and card.checked_size != size:
        height, width = card.checked_size
        told.append(f"when it was loaded it was checked on {height}×{width} images, and no input size is given")
        preprocess = card.preprocess
        remedy = (
            f"--preprocess FILE.yaml with size: [{height}, {width}], mean: {list(preprocess.mean)}, "
            f"std: {list(preprocess.std)}, layout: {preprocess.layout.value}"
        )
    where = place(error, card.files)
    told += [] if where is None else [f"raised in {where}"]
    return InvalidModel(
        f"the network does not take these images ({size[0]}×{size[1]}): {said(error)}",
        detail="\n".join(told),
        remedy=remedy,
    )


def _raised(classifier: Classifier, batch: Batch, error: Exception) -> UnfinishedError:
    """The network took other images and fails on these."""
    ids = batch.ids
    named = ", ".join(printable(name) for name in ids[:IDS_SHOWN])
    cut = "" if len(ids) <= IDS_SHOWN else f", … {printable(ids[-1])} ({len(ids)} in all)"
    where = place(error, classifier.card.files)
    return UnfinishedError(
        f"the network raised {said(error)}",
        detail=f"it had answered other images; among these it failed: {named}{cut}"
        + ("" if where is None else f"\nraised in {where}"),
        remedy="a network that answers these images too, or --data without them",
    )


def _require_head(classifier: Classifier, output: Output, batch: Batch, dtype: torch.dtype) -> None:
    if output.features is None:
        return
    count, known = len(batch.ids), classifier.card.head.tolerance
    errors = row_errors(classifier.head(output.features)[:count], output.answered[:count])
    worst = int(errors.argmax())
    # a row that is not a number fails too
    if not float(errors[worst]) <= (known if dtype == torch.float32 else max(known, HALF_TOLERANCE)):
        raise _HeadFailsError(batch.ids[worst], float(errors[worst]))


def _refuse_non_finite(logits: np.ndarray, batch: Batch) -> None:
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
        named = [batch.ids[row] for row in np.flatnonzero(bad)[:3]]
        raise InvalidModel(
            f"the model answers with NaN or infinity on {int(bad.sum())} of {len(bad)} images",
            detail="first: " + ", ".join(named),
            remedy="the weights in float32, and check --preprocess: overflow usually starts there",
        )
