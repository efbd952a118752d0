"""Sampling intervals, and what a one-sided bound at another level needs.

They cover the drawing of the images only, not the weakness of an attack. One method per kind of
quantity (DEFINITIONS: Wilson for proportions, Student's t for means, Fisher's z for correlations,
the basic bootstrap for binned calibration errors).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

QUANTILES = 199
"""Replicate quantiles kept in a state: at 1/200, 2/200, …, 199/200."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A proportion: `successes` of `trials`."""

    successes: int
    trials: int


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of `n` values with standard deviation `sd` (n − 1 in the denominator)."""

    mean: float
    sd: float
    n: int
    least: float | None = None
    """The smallest value that the quantity can take; its bounds are cut there, of which coverage loses nothing."""
    most: float | None = None
    """The largest value that it can take."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation on Fisher's z scale."""

    z: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Replicates:
    """A point estimate and 199 quantiles of its bootstrap replicates."""

    point: float
    quantiles: tuple[float, ...]
    floor: float | None
    """The smallest value that the quantity can take."""


@dataclass(frozen=True, slots=True)
class Discordant:
    """The difference between two proportions of the same images: (gained − lost) / trials."""

    gained: int
    """Images that count in the first proportion alone."""
    lost: int
    """Images that count in the second alone."""
    trials: int


State: TypeAlias = Counts | Mean | Correlation | Replicates | Discordant


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided interval at `level`."""

    level: float
    low: float
    high: float
    method: str
    state: State


def bound(state: State, level: float, side: Literal["lower", "upper"]) -> float:
    """The one-sided bound: with probability `level` the truth lies on its inner side.

    Args:
        state: what an interval keeps.
        level: in (0, 1), such as .95.
        side: `lower` for a value the truth exceeds, `upper` for one it stays below.

    Raises:
        ValueError: a level outside (0.5, 1), or beyond what 199 quantiles of replicates can say (0.995).
    """
    if not 0.5 < level < 1:
        raise ValueError(f"a confidence level lies between 0.5 and 1; got {level}")
    sign = 1.0 if side == "upper" else -1.0
    match state:
        case Counts(successes, trials):
            return _wilson_bound(successes, trials, _normal_quantile(level), sign)
        case Mean(mean, sd, n, least, most):
            reach = mean + sign * _student_quantile(n - 1, level) * sd / math.sqrt(n)
            return min(max(reach, -math.inf if least is None else least), math.inf if most is None else most)
        case Correlation(z, standard_error):
            return math.tanh(z + sign * _normal_quantile(level) * standard_error)
        case Discordant(gained, lost, trials):
            return _tango_bound(gained, lost, trials, _normal_quantile(level), sign)
        case Replicates(point, quantiles, floor):
            at = 1 - level if side == "upper" else level
            reflected = 2 * point - _quantile(quantiles, at)
            return reflected if floor is None else max(reflected, floor)


def two_sided(state: State, method: str, level: float = 0.95) -> Interval:
    """The central interval at `level` that belongs to a state."""
    one_sided = (1 + level) / 2
    return Interval(
        level=level,
        low=bound(state, one_sided, "lower"),
        high=bound(state, one_sided, "upper"),
        method=method,
        state=state,
    )


def wilson(successes: int, trials: int) -> Interval:
    """95 % interval of a proportion (Wilson 1927)."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials is no proportion")
    return two_sided(Counts(int(successes), int(trials)), "wilson")


def student(values: np.ndarray, *, least: float | None = None, most: float | None = None) -> Interval:
    """95 % t interval of the mean of at least two values, cut to [least, most], where the mean must lie."""
    if len(values) < 2:
        raise ValueError("a t interval needs at least two values")
    exact = np.asarray(values, dtype=np.float64)
    state = Mean(float(exact.mean()), float(exact.std(ddof=1)), len(exact), least, most)
    return two_sided(state, "student-t")


def fisher_pearson(r: float, n: int) -> Interval:
    """95 % interval of a Pearson correlation, standard error 1/√(n − 3) on the z scale."""
    return two_sided(Correlation(_fisher_z(r), 1 / math.sqrt(_pairs(n) - 3)), "fisher-z")


def fisher_spearman(r: float, n: int) -> Interval:
    """95 % interval of a Spearman correlation, standard error √((1 + r²/2)/(n − 3)) (Bonett & Wright 2000)."""
    return two_sided(Correlation(_fisher_z(r), math.sqrt((1 + r * r / 2) / (_pairs(n) - 3))), "fisher-z-bonett-wright")


def basic_bootstrap(point: float, replicates: np.ndarray, *, floor: float | None = 0.0) -> Interval:
    """95 % basic (reflected) bootstrap interval: percentile intervals of binned errors are biased upwards.

    Args:
        point: the estimate on the data itself.
        replicates: (r,), the estimate on each resample.
        floor: smallest possible value, at which the interval is cut; None for signed quantities.
    """
    at = np.arange(1, QUANTILES + 1) / (QUANTILES + 1)
    quantiles = tuple(float(q) for q in np.quantile(replicates, at))
    return two_sided(Replicates(float(point), quantiles, floor), "basic-bootstrap")


def _wilson_bound(successes: int, trials: int, z: float, sign: float) -> float:
    # At 0 and at 1 the bound is exact; rounding would push it past the value itself.
    if successes == (trials if sign > 0 else 0):
        return successes / trials
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return min(1.0, max(0.0, (centre + sign * spread) / (1 + z * z / trials)))


def _tango_bound(gained: int, lost: int, trials: int, z: float, sign: float) -> float:
    """Where the score test of p_gained − p_lost = δ turns (Tango 1998, equation 7); at δ = 0 it is McNemar's."""
    from scipy.optimize import brentq

    estimate = (gained - lost) / trials

    def beyond(difference: float) -> float:
        a, c = 2 * trials, -lost * difference * (1 - difference)
        b = (2 * trials - gained + lost) * difference - gained - lost
        smaller = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = max(trials * (2 * smaller + difference * (1 - difference)), 0.0)
        return sign * (trials * difference - gained + lost) - z * math.sqrt(variance)

    if estimate == sign or beyond(sign) <= 0:
        return sign
    # a little beyond the estimate, where the variance vanishes if no pair disagrees, or all do
    return float(brentq(beyond, estimate + sign * 1e-10, sign, xtol=1e-13))


def _fisher_z(r: float) -> float:
    if not -1 <= r <= 1:
        raise ValueError(f"a correlation lies in [-1, 1]; got {r}")
    return math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))


def _pairs(n: int) -> int:
    if n <= 3:
        raise ValueError(f"Fisher's z needs more than 3 pairs; got {n}")
    return n


def _quantile(quantiles: Sequence[float], at: float) -> float:
    grid = np.arange(1, len(quantiles) + 1) / (len(quantiles) + 1)
    if not grid[0] - 1e-12 <= at <= grid[-1] + 1e-12:
        raise ValueError(
            f"{len(quantiles)} quantiles of replicates reach to level {grid[-1]:g}; got {max(at, 1 - at):g}"
        )
    return float(np.interp(at, grid, quantiles))


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri  # here: the light side is imported by `repaudit --help`

    return float(ndtri(level))


def _student_quantile(degrees_of_freedom: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, level))
