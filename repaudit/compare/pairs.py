"""One metric of two reports, image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.finding import Better
from repaudit.metrics.binning import BINS, Bins, BinSums, equal_mass, equal_width
from repaudit.metrics.calibration import expected_error, over_part, under_part
from repaudit.metrics.paired import (
    LEAST_PAIRS,
    Difference,
    detectable,
    difference_of_means,
    difference_of_shares,
    difference_of_statistics,
    is_paired,
)
from repaudit.randomness import generator
from repaudit.report import Comparison
from repaudit.report.attack_codes import (
    ATTACKED,
    CODES,
    NOT_ATTACKED,
    SURROGATE_RIGHT,
    AttackOutcome,
    outcome_column,
)

if TYPE_CHECKING:
    from repaudit.compare.sides import Side

LEVEL = 0.95
TOO_FEW = f"fewer than {LEAST_PAIRS} pairs: resamples of so few hardly differ and would prove anything"
ROBUST, BROKEN = CODES[AttackOutcome.ROBUST], CODES[AttackOutcome.BROKEN]


def compare(key: str, now: Side, before: Side) -> Comparison:
    """One metric of two comparable reports, image by image.

    Raises:
        KeyError: one of the reports does not have it.
        NoPair: no image counts in both.
        ValueError: the metric is no function of the per-image columns, or neither direction of it is bad.
    """
    metric, other = now.report.metrics[key], before.report.metrics[key]
    if metric.better is Better.NEITHER:
        raise ValueError(f"neither direction of {key} is bad")
    first, second = (now, before) if metric.better is Better.LOWER else (before, now)
    difference = _statistic(key)(_Pair(first, second, _aligned(first, second)), key)
    return Comparison(
        value=metric.value,
        baseline=other.value,
        worse=difference.value,
        unit=metric.unit,
        better=metric.better,
        n=difference.n,
        interval=difference.interval,
        interval_reason=TOO_FEW if difference.interval is None else None,
        detectable=None if difference.interval is None else detectable(difference, LEVEL),
        baseline_error_share=_error_share(key, before),
    )


def _error_share(key: str, before: Side) -> float | None:
    incomplete = before.report.metrics.get(f"{key.rpartition('.')[0]}.error_share")
    return None if incomplete is None else incomplete.value


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two sides whose difference, first − second, is wanted."""

    first: Side
    second: Side
    rows: tuple[np.ndarray, np.ndarray]
    """(n,) each: the places of the same images, in the order of their ids."""

    def columns(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The same column of both, image by image."""
        return self.first.columns[name][self.rows[0]], self.second.columns[name][self.rows[1]]

    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool each: classified correctly."""
        predictions, labels = self.columns("prediction"), self.columns("label")
        return predictions[0] == labels[0], predictions[1] == labels[1]

    def draws(self, key: str) -> np.random.Generator:
        """Of the resamples of one metric: the same for the same two reports."""
        return generator(self.first.report.run.seed + self.second.report.run.seed, f"compare.{key}")


def _aligned(first: Side, second: Side) -> tuple[np.ndarray, np.ndarray]:
    one, other = first.columns["id"], second.columns["id"]
    orders = np.argsort(one), np.argsort(other)
    if not np.array_equal(one[orders[0]], other[orders[1]]):
        raise ValueError("only the same images can be paired")
    return orders


def _accuracy(pair: _Pair, key: str) -> Difference:
    if key.endswith("top5"):
        one, other = pair.columns("top5")
        return difference_of_shares(one.astype(bool), other.astype(bool))
    return difference_of_shares(*pair.right())


def _mean_of(column: str, sign: float = 1.0) -> Callable[[_Pair, str], Difference]:
    def difference(pair: _Pair, key: str) -> Difference:
        one, other = pair.columns(column)
        return difference_of_means(sign * one, sign * other, pair.draws(key))

    return difference


def _binned(
    partition: Callable[..., Bins], error: Callable[[BinSums], np.ndarray]
) -> Callable[[_Pair, str], Difference]:
    def difference(pair: _Pair, key: str) -> Difference:
        audits = {audit.id: audit.params for audit in pair.first.report.audits}
        asked = audits["calibration"].get("bins", BINS)
        bins = asked if isinstance(asked, int) else BINS
        confidence, right = pair.columns("confidence"), pair.right()
        one, other = (partition(confidence[side], right[side], bins=bins) for side in (0, 1))

        def differences(weights: np.ndarray) -> np.ndarray:
            gap: np.ndarray = error(one.weighted_sums(weights)) - error(other.weighted_sums(weights))
            return gap

        value = float(error(one.sums()) - error(other.sums()))
        return difference_of_statistics(value, differences, len(confidence[0]), pair.draws(key))

    return difference


def _attacked(pair: _Pair, key: str) -> Difference:
    name = key.rpartition(".")[2]
    one, other = pair.columns(outcome_column(key))
    if name == "asr":
        both = np.isin(one, (ROBUST, BROKEN)) & np.isin(other, (ROBUST, BROKEN))
        if key == "transfer.asr":
            both &= np.logical_and(*(right == 1 for right in pair.columns(SURROGATE_RIGHT)))
        return difference_of_shares(one[both] == BROKEN, other[both] == BROKEN)
    both = (one != NOT_ATTACKED) & (other != NOT_ATTACKED)
    code = ROBUST if name == "robust_accuracy" else CODES[AttackOutcome.ERROR]
    return difference_of_shares(one[both] == code, other[both] == code)


_STATISTICS: Mapping[str, Callable[[_Pair, str], Difference]] = {
    "accuracy.top1": _accuracy,
    "accuracy.top5": _accuracy,
    "calibration.ece": _binned(equal_width, expected_error),
    "calibration.ece_over": _binned(equal_width, over_part),
    "calibration.ece_under": _binned(equal_width, under_part),
    "calibration.ece_equal_mass": _binned(equal_mass, expected_error),
    "calibration.nll": _mean_of("log_p_label", -1.0),
    "calibration.brier": _mean_of("brier"),
}


def _statistic(key: str) -> Callable[[_Pair, str], Difference]:
    if not is_paired(key):
        raise ValueError(f"{key} is no function of the per-image columns")
    return _attacked if key.startswith(ATTACKED) else _STATISTICS[key]
