"""How well features point at a centre, and how that goes with something else."""

from __future__ import annotations

import numpy as np

from repaudit.metrics.summary import chunks

_ROWS = 256
"""Rows handled at a time: 4 MB of float64 at d = 2048."""
_DIGITS = 12
"""What a sum of a thousand products in float64 can be trusted for."""


def feature_norms(features: np.ndarray) -> np.ndarray:
    """(n,) Euclidean norms ‖f‖ of (n, d) features, accumulated in float64."""
    norms = np.empty(len(features))
    for rows in chunks(len(features), _ROWS):
        norms[rows] = np.linalg.norm(features[rows].astype(np.float64), axis=1)
    return norms


def cosines_to(features: np.ndarray, norms: np.ndarray, centers: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Cosine of each feature with the centre of one class of its own.

    Args:
        features: (n, d), possibly a memory map.
        norms: (n,) of `feature_norms`.
        centers: (c, d); a NaN or zero row is a class without a centre.
        classes: (n,) whose centre is meant, such as the labels or the predictions.

    Returns:
        (n,) float64 in [−1, 1]; NaN where the class has no centre or the feature is 0.
    """
    lengths = np.linalg.norm(centers, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = centers / lengths
    cosines = np.empty(len(norms))
    for rows in chunks(len(norms), _ROWS):
        along = np.einsum("ij,ij->i", features[rows].astype(np.float64), unit[classes[rows]])
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines[rows] = along / norms[rows]
    return cosines.clip(-1, 1)


def leave_one_out_cosines(
    cosines: np.ndarray, norms: np.ndarray, center_norms: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Cosines of features with the mean of the *other* features of a class, from those with the mean of all.

    With s = n μ: f·(s − f) = n f·μ − ‖f‖² and ‖s − f‖² = n²‖μ‖² − 2n f·μ + ‖f‖², so nothing is read again.

    Args:
        cosines: (m,) cos(f, μ) of features that are part of the mean μ of their class.
        norms: (m,) ‖f‖.
        center_norms: (m,) ‖μ‖ of that class.
        counts: (m,) how many features the mean is of.

    Returns:
        (m,) in [−1, 1]; NaN where the class has no other feature.
    """
    along = np.where(center_norms > 0, counts * cosines * norms * center_norms, 0.0)
    rest = np.sqrt(np.maximum((counts * center_norms) ** 2 - 2 * along + norms**2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = (along - norms**2) / (norms * rest)
    return np.where(counts > 1, left_out, np.nan).clip(-1, 1)


def pearson(left: np.ndarray, right: np.ndarray) -> float | None:
    """Pearson's correlation of two finite vectors, in [−1, 1]; None where one of them is constant or too short."""
    if len(left) < 2 or np.ptp(_settled(left)) == 0 or np.ptp(_settled(right)) == 0:
        return None
    x, y = left - left.mean(), right - right.mean()
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return float(np.clip(x @ y, -1, 1))


def spearman(left: np.ndarray, right: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; None where one vector is constant or too short."""
    return pearson(_ranks(left), _ranks(right))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, group, counts = np.unique(_settled(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2)[group]
    return ranks


def _settled(values: np.ndarray) -> np.ndarray:
    """The values in units of the largest, without the rounding noise that would break ties and hide constants."""
    largest = np.abs(values).max(initial=0.0)
    settled: np.ndarray = np.round(values / largest, _DIGITS) if largest > 0 else values
    return settled
