"""From vectors of values to measurements, or to the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.finding import Better, Measurement, Skipped, Unit
from repaudit.metrics.alignment import feature_norms, pearson, spearman
from repaudit.metrics.intervals import fisher_pearson, fisher_spearman, student
from repaudit.metrics.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from repaudit.evidence import Evidence

NO_CORRECT = "no image is classified correctly"


@dataclass(frozen=True, slots=True)
class Split:
    """Evidence of a classifier that was split at its linear head."""

    features: np.ndarray
    """(n, d)."""
    norms: np.ndarray
    """(n,) ‖f‖."""
    weight: np.ndarray
    """(c, d)."""
    bias: np.ndarray
    """(c,)."""
    logits: np.ndarray
    """(n, c)."""
    labels: np.ndarray
    """(n,)."""
    summary: Summary


def split_of(evidence: Evidence) -> Split | None:
    """What geometry is measured on; None without a linear head."""
    if evidence.features is None or evidence.weight is None or evidence.bias is None:
        return None
    return Split(
        features=evidence.features,
        norms=feature_norms(evidence.features),
        weight=evidence.weight,
        bias=evidence.bias,
        logits=evidence.logits,
        labels=evidence.labels,
        summary=evidence.summary,
    )


POSSIBLE: Mapping[Unit, tuple[float, float | None]] = {
    Unit.COSINE: (-1.0, 1.0),
    Unit.FRACTION: (0.0, 1.0),
    Unit.SCALE: (0.0, None),
    Unit.STEPS: (1.0, 100.0),
}
"""What the quantities of these audits can be; a t interval on few values would reach beyond."""


def mean_of(key: str, values: np.ndarray, unit: Unit, *, note: str, empty: str = NO_CORRECT) -> Measurement | Skipped:
    """The mean with its t interval, whose state keeps the standard deviation.

    Args:
        key: of the measurement.
        values: (m,) finite values.
        unit: of the values.
        note: the convention.
        empty: the reason given when there is no value at all.
    """
    if not len(values):
        return Skipped(key=key, reason=empty)
    single = len(values) == 1
    return Measurement(
        key=key,
        value=float(values.mean()),
        unit=unit,
        better=Better.NEITHER,
        n=len(values),
        interval=None if single else student(values, least=POSSIBLE[unit][0], most=POSSIBLE[unit][1]),
        interval_reason="a single value" if single else None,
        note=note,
    )


def correlations(name: str, left: np.ndarray, right: np.ndarray, *, note: str) -> Iterator[Measurement | Skipped]:
    """`geometry.pearson.<name>` and `geometry.spearman.<name>` of the finite pairs, with Fisher's z intervals."""
    finite = np.isfinite(left)
    x, y = left[finite], right[finite]
    for kind, value in (("pearson", pearson(x, y)), ("spearman", spearman(x, y))):
        key = f"geometry.{kind}.{name}"
        if value is None:
            yield Skipped(key=key, reason=f"one of the two is constant over the {len(x)} images in question")
            continue
        enough = len(x) > 3
        fisher = fisher_pearson if kind == "pearson" else fisher_spearman
        yield Measurement(
            key=key,
            value=value,
            unit=Unit.CORRELATION,
            better=Better.NEITHER,
            n=len(x),
            interval=fisher(value, len(x)) if enough else None,
            interval_reason=None if enough else "fewer than four images",
            note=note,
        )
