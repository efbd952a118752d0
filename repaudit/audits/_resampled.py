"""Binned errors as measurements: the value on the images themselves, the interval from their resamples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.finding import NOT_RESAMPLED, Better, Measurement, Unit
from repaudit.metrics.binning import BinSums
from repaudit.metrics.calibration import signed_root, squared_error
from repaudit.metrics.intervals import basic_bootstrap, student
from repaudit.metrics.resampling import debiased_interval, poisson_sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repaudit.metrics.binning import Bins


LEAST_RESAMPLED = 20
TOO_FEW = f"fewer than {LEAST_RESAMPLED} images: resamples of so few hardly differ and would prove anything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """A partition of some images, its sums, and the sums under each resample's weights."""

    bins: Bins
    observed: BinSums
    replicates: BinSums

    @property
    def _enough(self) -> bool:
        return len(self.bins.rows) >= LEAST_RESAMPLED

    def measure(self, key: str, error: Callable[[BinSums], np.ndarray], note: str) -> Measurement:
        """A binned error with its basic bootstrap interval, cut at 0."""
        point = float(error(self.observed))
        return Measurement(
            key=key,
            value=point,
            unit=Unit.FRACTION,
            better=Better.LOWER,
            n=len(self.bins.rows),
            interval=basic_bootstrap(point, error(self.replicates)) if self._enough else None,
            interval_reason=None if self._enough else TOO_FEW,
            note=note,
        )

    def measure_debiased(self, key: str, note: str) -> Measurement:
        """The debiased root of the squared error, which may lie below 0, and so may its interval."""
        return Measurement(
            key=key,
            value=float(signed_root(squared_error(self.observed, debiased=True))),
            unit=Unit.FRACTION,
            better=Better.LOWER,
            n=len(self.bins.rows),
            interval=debiased_interval(self.observed, self.replicates) if self._enough else None,
            interval_reason=None if self._enough else TOO_FEW,
            note=note,
        )


def resample(
    partitions: Mapping[str, Bins], images: int, *, resamples: int, generator: np.random.Generator
) -> dict[str, Resampled]:
    """Resamples every partition under one stream of weights."""
    drawn = poisson_sums(list(partitions.values()), images, resamples=resamples, generator=generator)
    return {
        name: Resampled(bins=bins, observed=bins.sums(), replicates=replicates)
        for (name, bins), replicates in zip(partitions.items(), drawn, strict=True)
    }


def mean(
    key: str,
    values: np.ndarray,
    *,
    unit: Unit,
    better: Better,
    least: float = 0.0,
    most: float | None = None,
    note: str = "",
) -> Measurement:
    """The mean of one value per image with its t interval, cut to [least, most], where the mean must lie."""
    enough = len(values) >= 2
    return Measurement(
        key=key,
        value=float(values.mean()),
        unit=unit,
        better=better,
        n=len(values),
        interval=student(values, least=least, most=most) if enough else None,
        interval_reason=None if enough else "a single image has no spread",
        note=note,
    )


def unresampled(
    key: str, value: float, n: int, *, unit: Unit = Unit.FRACTION, better: Better = Better.LOWER, note: str
) -> Measurement:
    """A number whose resampling would cost more than it tells."""
    return Measurement(key=key, value=value, unit=unit, better=better, n=n, interval_reason=NOT_RESAMPLED, note=note)
