"""Have class means and weight rows collapsed onto a simplex?

The four figures of Papyan, Han & Donoho (PNAS 2020), here measured on whatever split is given, which is
the evaluation split: on it they speak of generalisation, not of training. All in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from repaudit.metrics.centers import class_means
from repaudit.metrics.linear_head import centered_rows
from repaudit.metrics.summary import chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralCollapse:
    """Neural collapse over the m classes that have images; None where a figure is undefined."""

    classes: int
    """m."""
    nc1: float | None
    """tr(Σ_W Σ_B⁺)/m ≥ 0; None if the class means coincide or no class has two images."""
    nc2_means_cv: float | None
    """sd/mean of ‖μ_c − μ_G‖ over classes, ≥ 0."""
    nc2_weights_cv: float | None
    """sd/mean of the norms of the centred weight rows of the same classes, ≥ 0."""
    nc2_angle: float | None
    """mean over pairs of |cos(μ_c − μ_G, μ_c' − μ_G) + 1/(m − 1)|, ≥ 0; None where d < m − 1."""
    nc2_coherence: float | None
    """max over pairs of |cos| divided by Welch's bound √((m − d)/(d(m − 1))), ≥ 1; None where d ≥ m − 1."""
    nc3: float | None
    """‖W/‖W‖_F − M/‖M‖_F‖_F in [0, 2], W uncentred, on the rows of the same classes."""
    nc4: float
    """Share of images whose prediction is not the class of the nearest mean, in [0, 1]."""


def neural_collapse(
    features: np.ndarray, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray
) -> NeuralCollapse:
    """Measures neural collapse; class means μ_c are over *all* images of c, μ_G is the mean of the μ_c.

    Args:
        features: (n, d), possibly a memory map.
        labels: (n,) class indices.
        predictions: (n,) argmax of the logits, with the bias.
        weight: (c, d) rows of the head.

    Raises:
        ValueError: fewer than two classes have images.
    """
    everything = class_means(features, labels, np.ones(len(labels), dtype=bool), len(weight))
    present = np.flatnonzero(everything.counts)
    if len(present) < 2:
        raise ValueError(f"neural collapse compares classes; only {len(present)} has images")
    middle = everything.means[present].mean(axis=0)
    means = _without_rounding(everything.means[present] - middle, middle)
    spread = _spread(features, labels, predictions, present, middle, means)
    within = spread.within if everything.counts.max() > 1 else None
    cosines = _pair_cosines(means)
    count, width = means.shape
    simplex_fits = width >= count - 1
    rows = weight[present].astype(np.float64)
    return NeuralCollapse(
        classes=count,
        nc1=within,
        nc2_means_cv=_variation(means),
        nc2_weights_cv=_variation(centered_rows(weight)[present]),
        nc2_angle=_angle(cosines, count) if simplex_fits and cosines is not None else None,
        nc2_coherence=_coherence(cosines, count, width) if not simplex_fits and cosines is not None else None,
        nc3=_misfit(rows, means),
        nc4=spread.disagreement,
    )


def _without_rounding(means: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Exact zeros where class means coincide with their middle up to what a float64 mean can tell."""
    floor = means.shape[1] * np.finfo(np.float64).eps * max(1e-300, float(np.linalg.norm(middle)))
    return np.where(np.linalg.norm(means, axis=1, keepdims=True) > floor, means, 0.0)


@dataclass(frozen=True, slots=True)
class _Spread:
    within: float | None
    disagreement: float


def _spread(
    features: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    present: np.ndarray,
    middle: np.ndarray,
    means: np.ndarray,
) -> _Spread:
    """NC1 and NC4 in one pass: both need only the part of a feature that lies in the span of the means.

    With M = U S Vᵀ, Σ_B⁺ = m V S⁻² Vᵀ, so that tr(Σ_W Σ_B⁺)/m is the mean of ‖S⁻¹ Vᵀ(f − μ_y)‖². A pinv of the
    d × d covariance would square the condition number.
    """
    n, width = features.shape
    left, values, directions = np.linalg.svd(means, full_matrices=False)
    floor = values[0] * max(means.shape) * np.finfo(np.float64).eps
    rank = min(int((values > floor).sum()), len(means) - 1, width)
    basis, values = directions[:rank].T, values[:rank]
    inside = left[:, :rank] * values
    half_squares = (inside**2).sum(axis=1) / 2
    place = np.full(int(present.max()) + 1, -1)
    place[present] = np.arange(len(present))
    within, disagreements = 0.0, 0
    for rows in chunks(n):
        projected = (features[rows].astype(np.float64) - middle) @ basis
        nearest = (projected @ inside.T - half_squares).argmax(axis=1)
        disagreements += int((present[nearest] != predictions[rows]).sum())
        projected -= inside[place[labels[rows]]]
        projected /= values
        within += float(np.einsum("ij,ij->", projected, projected))
    return _Spread(within / n if rank else None, disagreements / n)


def _variation(rows: np.ndarray) -> float | None:
    norms = np.linalg.norm(rows, axis=1)
    mean = float(norms.mean())
    return float(norms.std()) / mean if mean > 0 else None


def _pair_cosines(rows: np.ndarray) -> np.ndarray | None:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (norms > 0).all():
        return None
    unit = rows / norms
    cosines = unit @ unit.T
    pairs: np.ndarray = cosines[np.triu_indices(len(rows), 1)]
    return pairs


def _angle(cosines: np.ndarray, count: int) -> float:
    return float(np.abs(cosines + 1 / (count - 1)).mean())


def _coherence(cosines: np.ndarray, count: int, width: int) -> float:
    return float(np.abs(cosines).max()) / math.sqrt((count - width) / (width * (count - 1)))


def _misfit(weight: np.ndarray, means: np.ndarray) -> float | None:
    lengths = float(np.linalg.norm(weight)), float(np.linalg.norm(means))
    if min(lengths) == 0:
        return None
    return float(np.linalg.norm(weight / lengths[0] - means / lengths[1]))
