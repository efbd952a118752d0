"""Does a confidence of p mean being right p of the time? Errors over bins of confidence, and over classes.

Every function of bin sums works on the data itself and on many resamples alike: leading axes stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.binning import BINS, BinSums, bin_index
from repaudit.metrics.summary import chunks

CHANCE_TOLERANCE = 1e-9
"""In nats: a uniform row must not pass the threshold p > 1/K by rounding."""


def expected_error(sums: BinSums) -> np.ndarray:
    """Expected calibration error Σ_b (n_b/n)·|accuracy_b − confidence_b| in [0, 1] (Naeini et al. 2015, eq. 3)."""
    return _per_image(np.abs(sums.gap), sums)


def over_part(sums: BinSums) -> np.ndarray:
    """The part of the expected calibration error in bins whose confidence exceeds their accuracy."""
    return _per_image(np.maximum(sums.gap, 0), sums)


def under_part(sums: BinSums) -> np.ndarray:
    """The part of the expected calibration error in bins whose accuracy exceeds their confidence."""
    return _per_image(np.maximum(-sums.gap, 0), sums)


def maximum_error(sums: BinSums) -> np.ndarray:
    """Largest |accuracy_b − confidence_b| of any bin that holds an image (Naeini et al. 2015, eq. 4)."""
    largest: np.ndarray = (np.abs(sums.gap) / _at_least_one(sums.count)).max(axis=-1)
    return largest


def squared_error(sums: BinSums, *, debiased: bool) -> np.ndarray:
    """Σ_b (n_b/n)·(accuracy_b − confidence_b)² over the bins with n_b ≥ 2.

    Args:
        sums: of equal-mass bins.
        debiased: subtract accuracy_b·(1 − accuracy_b)/(n_b − 1) from each square, what chance alone
            adds to it (Kumar, Liang & Ma 2019, definition 4.1); the result may be negative.
    """
    enough = sums.count >= 2
    count = np.where(enough, sums.count, 2)
    square = (sums.gap / count) ** 2
    if debiased:
        accuracy = sums.correct / count
        square = square - accuracy * (1 - accuracy) / (count - 1)
    return _per_image(np.where(enough, sums.count * square, 0), sums)


def signed_root(square: np.ndarray) -> np.ndarray:
    """sign(x)·√|x|: a squared error on the scale of the error, below zero where chance explains more than all of it."""
    root: np.ndarray = np.sign(square) * np.sqrt(np.abs(square))
    return root


@dataclass(frozen=True, slots=True)
class ClasswiseError:
    """The class-wise calibration error and what it rests on."""

    error: float
    """Mean over the classes that have a pair, in [0, 1]."""
    pairs: int
    """(image, class) pairs with p > 1/K."""
    classes: int
    """Classes with at least one such pair."""


def classwise_error(
    logits: np.ndarray, labels: np.ndarray, log_normaliser: np.ndarray, *, bins: int = BINS
) -> ClasswiseError | None:
    """Expected calibration error of each class's probability, averaged over classes (Nixon et al. 2019).

    Only probabilities above 1/K count: at K = 1000 nearly all of the others are zero and would drown
    the rest. Per class: Σ_b |Σ_{i in b} (p_ik − [y_i = k])| over the number of its pairs.

    Args:
        logits: (n, c).
        labels: (n,).
        log_normaliser: (n,) logsumexp of each row, float64.
        bins: equal-width bins of probability.

    Returns:
        None where no probability exceeds 1/K.
    """
    c = logits.shape[1]
    gaps, counts = np.zeros(c * bins), np.zeros(c * bins, dtype=np.int64)
    threshold = log_normaliser - np.log(c) + CHANCE_TOLERANCE
    for part in chunks(len(logits)):
        z = logits[part]
        image, k = np.nonzero(z > threshold[part, None])
        probability = np.exp(np.minimum(z[image, k].astype(np.float64) - log_normaliser[part][image], 0))
        cell = k * bins + bin_index(probability, bins)
        residual = probability - (labels[part][image] == k)
        gaps += np.bincount(cell, weights=residual, minlength=c * bins)
        counts += np.bincount(cell, minlength=c * bins)
    per_class = counts.reshape(c, bins).sum(axis=1)
    present = per_class > 0
    if not present.any():
        return None
    errors = np.abs(gaps).reshape(c, bins).sum(axis=1)[present] / per_class[present]
    return ClasswiseError(float(errors.mean()), int(per_class.sum()), int(present.sum()))


def _per_image(total: np.ndarray, sums: BinSums) -> np.ndarray:
    share: np.ndarray = total.sum(axis=-1) / _at_least_one(sums.count.sum(axis=-1))
    return share


def _at_least_one(count: np.ndarray) -> np.ndarray:
    # a resample can leave a bin, or of very few images all of them, without weight: its gap is then 0
    floored: np.ndarray = np.maximum(count, 1)
    return floored
