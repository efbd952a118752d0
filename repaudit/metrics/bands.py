"""Mean, spread and interval of values in groups: bins of a figure, steps of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Bands:
    """One entry a group; NaN where the group has too few values."""

    count: np.ndarray
    """(g,) int64, finite values."""
    mean: np.ndarray
    """(g,) float64; needs one value."""
    sd: np.ndarray
    """(g,) with n − 1 in the denominator; needs two values."""
    low: np.ndarray
    """(g,) lower end of the 95 % t interval of the mean; needs two values."""
    high: np.ndarray
    """(g,) upper end."""


def group_bands(values: np.ndarray, group: np.ndarray, groups: int) -> Bands:
    """Mean with standard deviation and 95 % t interval of every group, in float64 and two passes.

    Args:
        values: (m,); what is not finite is left out.
        group: (m,) integers in 0..groups − 1.
        groups: how many groups there are.
    """
    from scipy.special import stdtrit  # here: the light side is imported by `repaudit --help`

    usable = np.isfinite(values)
    value, place = values[usable].astype(np.float64), group[usable]
    count = np.bincount(place, minlength=groups)
    mean = _over(np.bincount(place, weights=value, minlength=groups), count)
    squares = np.bincount(place, weights=(value - mean[place]) ** 2, minlength=groups)
    sd = np.sqrt(_over(squares, count - 1))
    reach = stdtrit(np.maximum(count - 1, 1), (1 + LEVEL) / 2) * _over(sd, np.sqrt(count))
    return Bands(count, mean, sd, mean - reach, mean + reach)


def _over(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = np.full(len(total), np.nan)
    np.divide(total, count, out=quotient, where=count > 0)
    return quotient
