"""Where the centre of a class lies in feature space: its mean, its weight row, or where its loss is least.

The minimum-loss point on a ball is in `frank_wolfe`; here is the descent that the RS paper took.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from repaudit.metrics.linear_head import CenteredHead, softmax
from repaudit.metrics.summary import chunks

Schedule: TypeAlias = Literal["constant", "cosine"]

_CLASSES = 128
"""Classes solved together: 1 MB of float64 at c = 1000."""


@dataclass(frozen=True, slots=True)
class ClassMeans:
    """Mean feature of each class over the images that were chosen."""

    means: np.ndarray
    """(c, d) float64; NaN rows for classes without a chosen image."""
    counts: np.ndarray
    """(c,) int64, chosen images of each class."""


@dataclass(frozen=True, slots=True)
class DescentCenters:
    """Where plain gradient descent stood after a fixed number of steps from zero."""

    points: np.ndarray
    """(c, d) float64; NaN rows for classes that were not asked for."""
    loss: np.ndarray
    """(c,) cross-entropy reached, in nats; NaN for classes that were not asked for."""


def class_means(features: np.ndarray, labels: np.ndarray, chosen: np.ndarray, classes: int) -> ClassMeans:
    """Averages the chosen features of each class in float64.

    Args:
        features: (n, d), possibly a memory map.
        labels: (n,) class indices.
        chosen: (n,) bool, such as the correctly classified images.
        classes: c.
    """
    sums = np.zeros((classes, features.shape[1]))
    for rows in chunks(len(labels)):
        kept = np.flatnonzero(chosen[rows])
        if not len(kept):
            continue
        kept = kept[np.argsort(labels[rows][kept], kind="stable")]
        present, starts = np.unique(labels[rows][kept], return_index=True)
        sums[present] += np.add.reduceat(features[rows][kept].astype(np.float64), starts, axis=0)
    counts = np.bincount(labels[chosen], minlength=classes)
    with np.errstate(invalid="ignore"):
        means = sums / counts[:, None]
    return ClassMeans(means, counts)


def descent_centers(
    weight: np.ndarray,
    bias: np.ndarray,
    classes: np.ndarray,
    *,
    learning_rate: float = 0.01,
    steps: int = 100,
    schedule: Schedule = "constant",
) -> DescentCenters:
    """Plain gradient descent on CE(Wf + b, y) from f = 0, the loss summed over classes.

    For a separable class there is no finite minimiser, so that start, rate and steps are part of the
    definition. The iteration lives in class space and costs one product with W Wᵀ a step.

    Args:
        weight: (c, d) rows of the head.
        bias: (c,).
        classes: indices of the classes wanted.
        learning_rate: of the first step.
        steps: how many.
        schedule: `constant`, or `cosine` annealing to 0: rate·(1 + cos(π t/steps))/2.

    Source: RS (arXiv 2410.03999), Table 9, for rates and steps; the start is ours, the paper states none.
    """
    head = CenteredHead(weight, bias)
    points, loss = np.full(weight.shape, np.nan), np.full(len(weight), np.nan)
    for part in chunks(len(classes), _CLASSES):
        wanted = classes[part]
        own = (np.arange(len(wanted)), wanted)
        coefficients = np.zeros((len(wanted), len(weight)))
        for step in range(steps):
            residual = -softmax(head.class_products(coefficients) + head.bias)
            residual[own] += 1.0
            coefficients += _rate(learning_rate, step, steps, schedule) * residual
        points[wanted] = head.points(coefficients)
        loss[wanted] = _cross_entropy(head.class_products(coefficients) + head.bias, own)
    return DescentCenters(points, loss)


def _rate(first: float, step: int, steps: int, schedule: Schedule) -> float:
    if schedule == "constant":
        return first
    return first * (1 + float(np.cos(np.pi * step / steps))) / 2


def _cross_entropy(logits: np.ndarray, own: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    top = logits.max(axis=1)
    loss: np.ndarray = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[own]
    return loss
