"""A linear head over its feature plane: regions, confidence, loss, and where the loss of a class is least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.frank_wolfe import sphere_centers
from repaudit.metrics.linear_head import softmax

GROWTH = (1.0, 4.0, 16.0, 64.0)
"""Radii, in units of the first, within which a minimum is looked for."""


@dataclass(frozen=True, slots=True)
class FreeMinima:
    """Where each class's loss is least in the whole space, or on a ball where it has no minimum."""

    points: np.ndarray
    """(c, d) float64; NaN rows for classes that were not asked for."""
    finite: np.ndarray
    """(c,) bool: the point is the minimum in the whole space, else only that of the ball ‖f‖ ≤ R."""


def free_minima(weight: np.ndarray, bias: np.ndarray, radius: float, classes: np.ndarray) -> FreeMinima:
    """Minimum-loss points without a bound, where they exist within 64 R; the ball's elsewhere.

    The loss is convex: a minimum strictly inside any ball is the minimum of the whole space.

    Args:
        weight: (c, d) rows of the head.
        bias: (c,).
        radius: R > 0, such as the mean norm of correctly classified features.
        classes: indices of the classes wanted.

    Raises:
        ValueError: R is not positive or there is only one class.
    """
    found = sphere_centers(weight, bias, radius, classes)
    points, finite = found.points.copy(), found.interior.copy()
    for factor in GROWTH[1:]:
        left = classes[~finite[classes]]
        if not len(left):
            break
        wider = sphere_centers(weight, bias, factor * radius, left)
        inside = left[wider.interior[left]]
        points[inside], finite[inside] = wider.points[inside], True
    return FreeMinima(points, finite)


def confidence(points: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(m,) highest softmax probability at (m, d) features."""
    best: np.ndarray = softmax(points @ weight.T + bias).max(axis=1)
    return best


def loss_and_descent(
    points: np.ndarray, weight: np.ndarray, bias: np.ndarray, label: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of one class at (m, d) features, and the direction in which it falls.

    Returns:
        ((m,) loss in nats, (m, d) −∇ = w_y − Σ p_j w_j).
    """
    logits = points @ weight.T + bias
    top = logits.max(axis=1)
    loss = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[:, label]
    return loss, weight[label] - softmax(logits) @ weight


def region(weight: np.ndarray, bias: np.ndarray, label: int, window: np.ndarray) -> np.ndarray:
    """The convex part of a box in which a class has the highest logit.

    Args:
        weight: (c, 2) rows of the head.
        bias: (c,).
        label: the class.
        window: (2, 2) lower left and upper right corner.

    Returns:
        (m, 2) corners of a polygon, in order against the clock; (0, 2) where the class wins nowhere in the box.
    """
    (left, low), (right, high) = window
    polygon = np.array([(left, low), (right, low), (right, high), (left, high)])
    for rival in range(len(weight)):
        if rival != label and len(polygon):
            lead = polygon @ (weight[label] - weight[rival]) + (bias[label] - bias[rival])
            polygon = _kept(polygon, lead)
    return polygon


def _kept(polygon: np.ndarray, lead: np.ndarray) -> np.ndarray:
    """The part of a convex polygon in which a linear function, known at its corners, is not negative."""
    if (lead >= 0).all():
        return polygon
    kept: list[np.ndarray] = []
    for place in range(len(polygon)):
        here, there = lead[place - 1], lead[place]
        if (here >= 0) != (there >= 0):
            share = here / (here - there)
            kept.append(polygon[place - 1] + share * (polygon[place] - polygon[place - 1]))
        if there >= 0:
            kept.append(polygon[place])
    return np.array(kept).reshape(-1, 2)


def leading_share(features: np.ndarray, count: int = 2) -> float | None:
    """Share of the features' variance along their leading principal directions.

    Args:
        features: (n, d), possibly a memory map.
        count: of the directions.

    Returns:
        Between count/d and 1; None where all features are the same.
    """
    width = features.shape[1]
    mean, moment = np.zeros(width), np.zeros((width, width))
    for start in range(0, len(features), _ROWS):
        mean += features[start : start + _ROWS].astype(np.float64).sum(axis=0)
    mean /= len(features)
    for start in range(0, len(features), _ROWS):
        part = features[start : start + _ROWS].astype(np.float64) - mean
        moment += part.T @ part
    spread = np.maximum(np.linalg.eigvalsh(moment), 0.0)
    total = float(spread.sum())
    scale = float(np.abs(mean).max()) ** 2 * len(features)
    if total <= _ROUNDING * scale:
        return None
    return float(spread[-count:].sum()) / total


_ROWS = 1024
"""Rows handled at a time: 16 MB of float64 at d = 2048."""
_ROUNDING = 1e-24
"""Of the sum of squares: what float64 leaves of a variance that is none."""
