"""A linear readout on features that tells one point of a ball's edge from the points inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHRINKAGE = 0.1
"""Weight of the isotropic part of the inner points' scatter: directions that they do not span are not free."""
RESOLVED = 1e-3
"""Least gap of scores between the boundary point and the highest inner point, in units of the whole range: less
is rounding."""


@dataclass(frozen=True, slots=True)
class Readout:
    """Scores s(f) = ⟨f − centre, direction⟩ − offset: 1 at the boundary point, at most −1 at every inner point."""

    centre: np.ndarray
    """(d,) float32."""
    direction: np.ndarray
    """(d,) float32."""
    offset: float


def fit(inner: np.ndarray, boundary: np.ndarray) -> Readout | None:
    """The shrunk linear discriminant (S + λI)⁻¹ (f_b − μ), with its threshold halfway between the two sides.

    S is the scatter of the inner points around their mean μ, λ a tenth of the mean of its eigenvalues on their
    span. Solved through the points' own k × k products, so that a wide network costs no d × d matrix.

    Args:
        inner: (k, d) features, k > 1.
        boundary: (d,).

    Returns:
        None where the features are not finite or do not lie on two sides of it.
    """
    if not (np.isfinite(inner).all() and np.isfinite(boundary).all()):
        return None
    points = inner.astype(np.float64)
    centre = points.mean(axis=0)
    spread = (points - centre) / np.sqrt(len(points))
    products = spread @ spread.T
    ridge = SHRINKAGE * np.trace(products) / min(products.shape[0] - 1, points.shape[1])
    towards = boundary - centre
    if not ridge > 0 or not np.any(towards):
        return None
    inverse = np.linalg.solve(products + ridge * np.eye(len(products)), spread @ towards)
    direction = (towards - spread.T @ inverse) / ridge
    scores = (points - centre) @ direction
    high, low, edge = float(scores.max()), float(scores.min()), float(towards @ direction)
    if not edge - high > RESOLVED * (edge - low):
        return None
    half = (edge - high) / 2
    return Readout(centre.astype(np.float32), (direction / half).astype(np.float32), (high + half) / half)
