"""One clean pass over the images, and what it leaves: data only, immutable, kept on disk.

A second scan of the same weights on the same images finds the arrays and does no forward pass; an
interrupted pass continues at the row where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.errors import InvalidModel
from repaudit.metrics.summary import Summary, summarize
from repaudit.numerics import same_kernels
from repaudit.store import ArrayStore, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.classifier import Classifier
    from repaudit.images import Batch, ImageSet
    from repaudit.progress import Progress, Stage

FORMAT = 1
"""Rises when the arrays on disk change their meaning."""


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

    Args:
        classifier: whose logits and features are wanted.
        images: all of which are read, in their order.
        rows: of every call; the last call is padded so that no image meets another kernel.
        progress: shows images per second.
        cache: folder of kept passes; None keeps nothing.
        dtype: float32, or bfloat16 for an autocast pass.
        fresh: forget what an earlier pass left.

    Raises:
        InvalidModel: a logit is NaN or infinite; the first images are named.
        OSError: the cache folder filled up or vanished.
    """
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
    """sha256 over everything that can move a logit: weights, code, preprocessing, data, numerics, versions."""
    card = classifier.card
    identity = {
        "format": FORMAT,
        "weights": card.weights_sha256,
        "architecture": card.architecture,
        "arguments": dict(card.arguments),
        "files": {name: digest for name, digest in card.files.items() if name.endswith(".py")},
        "preprocess": card.preprocess.as_dict(),
        "head": [card.head.kind, *card.head.modules],
        "images": images.fingerprint,
        "order": hashlib.sha256("\0".join(images.ids).encode()).hexdigest(),
        "dtype": str(dtype),
        "device": classifier.device.type,
        "rows": rows,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "torchvision", "timm", "numpy", "pillow")},
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


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
                output = classifier.forward(padded(batch.to(classifier.device).images, rows), dtype)
                logits = output.logits[:count].cpu().numpy()
                _refuse_non_finite(logits, batch)
                features = None if output.features is None else output.features[:count].cpu().numpy()
                store.write(start, logits, features)
                stage.advance(count)
                start += count
    finally:
        store.save()


def _refuse_non_finite(logits: np.ndarray, batch: Batch) -> None:
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
        named = [batch.ids[row] for row in np.flatnonzero(bad)[:3]]
        raise InvalidModel(
            f"the model answers with NaN or infinity on {int(bad.sum())} of {len(bad)} images",
            detail="first: " + ", ".join(named),
            remedy="the weights in float32, and check --preprocess: overflow usually starts there",
        )
