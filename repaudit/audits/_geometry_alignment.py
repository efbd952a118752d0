"""Cosines of features with class centres, and how they go with confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits._geometry_measure import NO_CORRECT, Split, correlations, mean_of
from repaudit.finding import Column, Figure, Notice, Skipped, Unit, plotted
from repaudit.metrics.alignment import cosines_to, leave_one_out_cosines
from repaudit.metrics.summary import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.audits._geometry_centers import Centers
    from repaudit.finding import Finding

CENTERS = ("class_mean", "weight_vector", "weight_centered", "minimum_loss")
LEAVE_ONE_OUT = "class_mean_loo"
FEW_IMAGES = 20
"""With fewer images in its mean, a class's cosines are interpreted leave-one-out only."""

_HISTOGRAM_EDGES = np.linspace(-1, 1, 41)
_SCATTER_IMAGES = 1000


@dataclass(frozen=True, slots=True)
class Alignment:
    """Cosines by centre; NaN where the class has no centre or the feature is 0."""

    true: dict[str, np.ndarray]
    """(n,) each, to the centre of the label's class; with `class_mean_loo`."""
    predicted: dict[str, np.ndarray]
    """(n,) each, to the centre of the predicted class."""


def align(split: Split, centers: Centers) -> Alignment:
    """Computes every cosine once."""
    true: dict[str, np.ndarray] = {}
    predicted: dict[str, np.ndarray] = {}
    wrong = np.flatnonzero(~split.summary.correct)
    for name, rows in centers.rows().items():
        true[name] = cosines_to(split.features, split.norms, rows, split.labels)
        predicted[name] = true[name].copy()
        for part in chunks(len(wrong)):
            at = wrong[part]
            predicted[name][at] = cosines_to(split.features[at], split.norms[at], rows, split.summary.prediction[at])
    true[LEAVE_ONE_OUT] = true["class_mean"].copy()
    right = np.flatnonzero(split.summary.correct)
    label = split.labels[right]
    center_norms = np.linalg.norm(centers.class_mean.means, axis=1)
    true[LEAVE_ONE_OUT][right] = leave_one_out_cosines(
        true["class_mean"][right], split.norms[right], center_norms[label], centers.class_mean.counts[label]
    )
    return Alignment(true, predicted)


def alignment_findings(split: Split, centers: Centers, alignment: Alignment) -> Iterator[Finding]:
    """Yields cosines, correlations with confidence, columns, and what a reader must know of them."""
    correct, confidence = split.summary.correct, split.summary.confidence
    width = split.features.shape[1]
    for name in (*CENTERS, LEAVE_ONE_OUT):
        if name not in alignment.true:
            for key in _keys_of(name):
                yield Skipped(key=key, reason=centers.minimum_loss_reason)
            continue
        cosines = alignment.true[name]
        initially = cosines[correct]
        yield mean_of(
            f"geometry.cosine.{name}",
            initially[np.isfinite(initially)],
            Unit.COSINE,
            note=f"to the true class's centre, initially correct images, d = {width}",
            empty="no correct image's class has such a centre" if correct.any() else NO_CORRECT,
        )
        yield from correlations(
            name, cosines, confidence, note="cosine to the true class's centre with confidence, all images"
        )
        yield from correlations(
            f"{name}_correct", initially, confidence[correct], note="true class's centre, initially correct images"
        )
        if name in alignment.predicted:
            yield from correlations(
                f"{name}_predicted",
                alignment.predicted[name],
                confidence,
                note="predicted class's centre, all images",
            )
        if name in ("class_mean", "weight_vector", "minimum_loss"):
            yield Column(name=f"cosine_{name}", values=cosines)
    yield from _notices(centers)


def alignment_figures(
    split: Split, centers: Centers, alignment: Alignment, random: np.random.Generator
) -> Iterator[Figure]:
    """Yields the scatter, the histogram, the centres' diagnostics and the angles of the worst-aligned features."""
    yield _scatter(split, alignment, random)
    correct = split.summary.correct
    yield Figure(
        key="geometry.cosine_histogram",
        data={
            "images": "initially correct",
            "edges": [float(edge) for edge in _HISTOGRAM_EDGES],
            **{name: _counts(cosines[correct]) for name, cosines in alignment.true.items()},
        },
    )
    median = float(np.median(split.summary.confidence))
    yield Figure(
        key="geometry.centers",
        data={
            **centers.diagnostics,
            "median_confidence": median,
            "headline_correlation": "spearman" if median > 0.99 else "pearson",
        },
    )
    if "minimum_loss" in alignment.true:
        yield _worst_aligned(split, alignment.true["minimum_loss"])


def _keys_of(name: str) -> list[str]:
    kinds = [f"geometry.{kind}.{name}" for kind in ("pearson", "spearman")]
    variants = [f"{key}_{variant}" for key in kinds for variant in ("correct", "predicted")]
    return [f"geometry.cosine.{name}", *kinds, *variants]


def _notices(centers: Centers) -> Iterator[Notice]:
    counts = centers.class_mean.counts
    few = int(((counts > 0) & (counts < FEW_IMAGES)).sum())
    if few:
        yield Notice(
            code="few-images-per-class",
            message=f"{few} of {int((counts > 0).sum())} class means rest on fewer than {FEW_IMAGES} correct images: "
            "of the figures of `class_mean`, interpret only the leave-one-out ones (`class_mean_loo`)",
        )
    if centers.unsolved:
        yield Notice(
            code="minimum-loss-unsolved",
            message=f"the minimum-loss point of {centers.unsolved} classes did not reach the tolerance; "
            "raise geometry.iterations, or see worst_gap in the figure geometry.centers",
        )


def _counts(cosines: np.ndarray) -> list[int]:
    counts, _ = np.histogram(cosines[np.isfinite(cosines)], bins=_HISTOGRAM_EDGES)
    return [int(count) for count in counts]


def _scatter(split: Split, alignment: Alignment, random: np.random.Generator) -> Figure:
    n = len(split.labels)
    rows = np.sort(random.choice(n, min(n, _SCATTER_IMAGES), replace=False))
    rms = split.norms[rows] / np.sqrt(split.features.shape[1])
    return Figure(
        key="geometry.scatter",
        data={
            "images": n,
            "rms": plotted(rms),
            "confidence": plotted(split.summary.confidence[rows]),
            "correct": [bool(value) for value in split.summary.correct[rows]],
            **{f"cosine_{name}": plotted(cosines[rows]) for name, cosines in alignment.true.items()},
        },
    )


def _worst_aligned(split: Split, cosines: np.ndarray) -> Figure:
    """Angle between the two confident features of a class that point furthest from its centre (RS, Fig. 6)."""
    sure = split.summary.correct & (split.summary.confidence > 0.99) & np.isfinite(cosines)
    rows = np.flatnonzero(sure)
    rows = rows[np.lexsort((cosines[rows], split.labels[rows]))]
    classes, first, counts = np.unique(split.labels[rows], return_index=True, return_counts=True)
    classes, first = classes[counts > 1], first[counts > 1]
    worst, second = rows[first], rows[first + 1]
    along = np.einsum("ij,ij->i", split.features[worst].astype(np.float64), split.features[second].astype(np.float64))
    degrees = np.degrees(np.arccos((along / (split.norms[worst] * split.norms[second])).clip(-1, 1)))
    return Figure(
        key="geometry.worst_aligned",
        data={
            "images": "initially correct, confidence > 0.99",
            "center": "minimum_loss",
            "class": [int(label) for label in classes],
            "angle_degrees": plotted(degrees),
            "mean_degrees": float(degrees.mean()) if len(degrees) else None,
        },
    )
