"""Temperature against feature scale: fitted on one half of the images, reported on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.images import stratified
from repaudit.metrics.binning import Bins, equal_width
from repaudit.metrics.calibration import expected_error
from repaudit.metrics.scaling import NoOptimum, Rescaled, fit_scale, rescale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repaudit.finding import FigureValue

GRID = 2.0 ** (np.arange(-8, 9) / 4)
"""Scales and temperatures of the curves: 1/4 to 4, four to an octave, 1 in the middle."""
SMALLEST_HALF = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one scale makes of the held-out half, each (h,)."""

    confidence: np.ndarray
    correct: np.ndarray
    log_p_label: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One way of rescaling: its optimum from the fitting half, its course over the held-out half."""

    scale: float
    """s of s·A + b, which is 1/T for a temperature."""
    optimum: Outcome
    """The held-out half at `scale`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Why there is no optimum."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalibration:
    """Both ways of rescaling on the same halves, which are places in `order`."""

    fitting: np.ndarray
    held_out: np.ndarray
    temperature: Family | Unavailable
    feature_scale: Family | Unavailable
    temperature_curve: Mapping[str, FigureValue]
    feature_scale_curve: Mapping[str, FigureValue] | None
    """None without a linear head."""


def split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows to fit on and rows to report on, stratified by class; None where either are fewer than two."""
    fitting = stratified(labels, round(fraction * len(labels)), seed)
    held_out = np.setdiff1d(np.arange(len(labels)), fitting)
    return None if min(len(fitting), len(held_out)) < SMALLEST_HALF else (fitting, held_out)


def recalibrate(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    order: np.ndarray,
    fitting: np.ndarray,
    held_out: np.ndarray,
    bias: np.ndarray | Unavailable,
    bins: int,
) -> Recalibration:
    """Fits both families by negative log-likelihood and follows them along `GRID`.

    Args:
        logits: (n, c).
        labels: (n,).
        order: (n,) the rows in the order in which the halves count them.
        fitting: places in `order` to fit on.
        held_out: places in `order` to report on.
        bias: (c,) of the linear head, or why there is none.
        bins: equal-width bins of the curves' calibration error.
    """
    data = _Data(logits=logits, labels=labels, fitting=order[fitting], held_out=order[held_out], bins=bins)
    temperature, temperature_curve = data.family(None)
    feature_scale, feature_scale_curve = (bias, None) if isinstance(bias, Unavailable) else data.family(bias)
    return Recalibration(
        fitting=fitting,
        held_out=held_out,
        temperature=temperature,
        feature_scale=feature_scale,
        temperature_curve=temperature_curve,
        feature_scale_curve=feature_scale_curve,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    logits: np.ndarray
    labels: np.ndarray
    fitting: np.ndarray
    held_out: np.ndarray
    bins: int

    def family(self, bias: np.ndarray | None) -> tuple[Family | Unavailable, Mapping[str, FigureValue]]:
        scales = GRID if bias is not None else 1 / GRID
        try:
            scale = fit_scale(self.logits, self.labels, rows=self.fitting, bias=bias).scale
        except NoOptimum as error:
            result = rescale(self.logits, self.labels, scales, rows=self.held_out, bias=bias)
            return Unavailable(reason=f"no optimum on the fitting half: {error}"), self._curve(result)
        result = rescale(self.logits, self.labels, np.append(scales, scale), rows=self.held_out, bias=bias)
        return Family(scale=scale, optimum=_outcome(result, -1)), self._curve(result)

    def _curve(self, result: Rescaled) -> Mapping[str, FigureValue]:
        points = [_outcome(result, which) for which in range(len(GRID))]
        return {
            "value": GRID.tolist(),
            "accuracy": [float(point.correct.mean()) for point in points],
            "ece": [float(expected_error(self._binned(point).sums())) for point in points],
            "nll": [float(-point.log_p_label.mean()) for point in points],
        }

    def _binned(self, point: Outcome) -> Bins:
        return equal_width(point.confidence, point.correct, bins=self.bins)


def _outcome(result: Rescaled, which: int) -> Outcome:
    return Outcome(
        confidence=result.confidence[which], correct=result.correct[which], log_p_label=result.log_p_label[which]
    )
