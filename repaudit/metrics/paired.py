"""Differences between two models on the same images.

What both get from an image cancels, so that far fewer images tell two models apart than two intervals side by side
would. Shares are compared by McNemar's test, turned into bounds by score (Tango 1998); everything else by a bootstrap
of pairs. They cover the drawing of the images only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from repaudit.metrics.intervals import QUANTILES, Discordant, Interval, Replicates, State, two_sided

RESAMPLES = 1000
ELEMENTS = 1 << 21
"""Weights drawn at a time: 16 MB."""
POWER = 0.8
"""Chance of an alarm that makes a difference `detectable`."""
LEAST_PAIRS = 20
"""Resamples of fewer hardly differ and would prove anything."""


PAIRED_SHARES = (
    "accuracy.top1",
    "accuracy.top5",
    "robustness.*.asr",
    "robustness.*.robust_accuracy",
    "robustness.*.error_share",
    "transfer.asr",
    "transfer.robust_accuracy",
    "transfer.error_share",
)
PAIRED_STATISTICS = (
    "calibration.ece",
    "calibration.ece_over",
    "calibration.ece_under",
    "calibration.ece_equal_mass",
    "calibration.nll",
    "calibration.brier",
)
"""With `PAIRED_SHARES` the metrics that have a bad direction and follow from the per-image columns."""


def is_paired(key: str, patterns: tuple[str, ...] = PAIRED_SHARES + PAIRED_STATISTICS) -> bool:
    """Whether a metric can be compared image by image; the union of all attacks cannot, for it has no column."""
    parts = key.split(".")
    if key.startswith("robustness.worst."):
        return False
    return any(
        len(parts) == len(wanted) and all(want in {"*", part} for want, part in zip(wanted, parts, strict=True))
        for wanted in (pattern.split(".") for pattern in patterns)
    )


class NoPair(ValueError):
    """No image counts in both."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Now − before, of one quantity on n pairs."""

    value: float
    interval: Interval | None
    """95 %; None for fewer than `LEAST_PAIRS` resampled pairs."""
    n: int


def difference_of_shares(now: np.ndarray, before: np.ndarray) -> Difference:
    """The difference between two proportions of the same images, each (n,) bool.

    Raises:
        ValueError: no pair, or shapes that differ.
    """
    _check(now, before)
    gained, lost, n = int((now & ~before).sum()), int((before & ~now).sum()), len(now)
    return Difference((gained - lost) / n, two_sided(Discordant(gained, lost, n), "mcnemar-score-tango"), n)


def difference_of_means(now: np.ndarray, before: np.ndarray, generator: np.random.Generator) -> Difference:
    """The difference between two means over the same images, each (n,).

    Raises:
        ValueError: no pair, or shapes that differ.
    """
    _check(now, before)
    gaps = np.asarray(now, dtype=np.float64) - np.asarray(before, dtype=np.float64)

    def means(weights: np.ndarray) -> np.ndarray:
        total: np.ndarray = weights @ gaps / np.maximum(weights.sum(axis=1), 1.0)
        return total

    return difference_of_statistics(float(gaps.mean()), means, len(gaps), generator)


def difference_of_statistics(
    value: float, differences: Callable[[np.ndarray], np.ndarray], n: int, generator: np.random.Generator
) -> Difference:
    """The difference between two values of any statistic of n images.

    Args:
        value: on the images themselves.
        differences: (r,) for weights (r, n) of the images, the same for both models.
        n: how many images.
        generator: draws the weights, Poisson(1) each (Chamandy et al. 2012).
    """
    if n < LEAST_PAIRS:
        return Difference(value, None, n)
    size = max(1, ELEMENTS // n)
    replicates = [
        differences(_weights(min(size, RESAMPLES - start), n, generator)) for start in range(0, RESAMPLES, size)
    ]
    return Difference(value, _symmetric(value, np.concatenate(replicates)), n)


def _weights(rows: int, n: int, generator: np.random.Generator) -> np.ndarray:
    """(rows, n) independent Poisson(1) weights: how often each image is among Poisson(n) drawn with replacement.

    Six times as fast as drawing each weight.
    """
    weights = np.empty((rows, n))
    for row, total in enumerate(generator.poisson(n, rows)):
        weights[row] = np.bincount(generator.integers(0, n, total), minlength=n)
    return weights


def _symmetric(value: float, replicates: np.ndarray) -> Interval:
    """Half the distance between opposite quantiles of the replicates, to either side of the value.

    A difference of two calibration errors is biased by how large either happens to be: the percentile interval of equal
    models alarms too rarely (1 % at 95 %, n = 1000), the reflected one too often (8 %), this one in 4 %.
    """
    at = np.arange(1, QUANTILES + 1) / (QUANTILES + 1)
    quantiles = np.quantile(replicates, at)
    spread = value + (quantiles - quantiles[::-1]) / 2
    return two_sided(Replicates(value, tuple(float(each) for each in spread), None), "paired-bootstrap-symmetric")


def detectable(difference: Difference, level: float) -> float:
    """The true difference that a one-sided test at `level` would find in four of five draws of so many images.

    Raises:
        ValueError: the difference has no interval.
    """
    from scipy.special import ndtri

    if difference.interval is None:
        raise ValueError("a difference without an interval has no scatter")
    return float((ndtri(level) + ndtri(POWER)) * _standard_error(difference.interval.state))


def _standard_error(state: State) -> float:
    from scipy.special import ndtri

    match state:
        case Discordant(gained, lost, trials):
            # one pair at least: where none disagrees nothing is known to be better than that
            return float(np.sqrt(max(gained + lost - (gained - lost) ** 2 / trials, 1.0)) / trials)
        case Replicates(_, quantiles):
            scores = ndtri(np.arange(1, len(quantiles) + 1) / (len(quantiles) + 1))
            return float(np.dot(scores, quantiles) / np.dot(scores, scores))  # slope of the quantile plot
        case _:
            raise ValueError(f"{state} is of no difference")


def _check(now: np.ndarray, before: np.ndarray) -> None:
    if now.ndim != 1 or now.shape != before.shape:
        raise ValueError(f"pairs are values of the same images; got shapes {now.shape} and {before.shape}")
    if not len(now):
        raise NoPair("no pair to compare")
