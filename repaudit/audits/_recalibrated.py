"""The findings of the held-out half: before, after a temperature, after a feature scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.audits._recalibration import Family, Recalibration, Unavailable
from repaudit.audits._resampled import Resampled, mean, unresampled
from repaudit.finding import Better, Bounds, Finding, Measurement, Skipped, Unit, key_specs
from repaudit.metrics.binning import Bins, equal_width
from repaudit.metrics.calibration import expected_error
from repaudit.metrics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

TEMPERATURE_KEYS = (
    "calibration.temperature",
    "calibration.ece_after_temperature",
    "calibration.nll_after_temperature",
)
FEATURE_SCALE_KEYS = (
    "calibration.feature_scale",
    "calibration.ece_after_feature_scale",
    "calibration.top1_after_feature_scale",
)
HELD_OUT = (
    *key_specs(
        Unit.FRACTION,
        Better.LOWER,
        Bounds.RESAMPLED,
        "calibration.ece_heldout",
        "calibration.ece_after_temperature",
        "calibration.ece_after_feature_scale",
    ),
    *key_specs(Unit.NATS, Better.LOWER, Bounds.ANY, "calibration.nll_heldout", "calibration.nll_after_temperature"),
    *key_specs(Unit.RATIO, Better.NEITHER, Bounds.NONE, "calibration.temperature", "calibration.feature_scale"),
    *key_specs(Unit.FRACTION, Better.HIGHER, Bounds.ANY, "calibration.top1_after_feature_scale"),
)
"""Every key of the held-out half."""


def partitions_of(
    recalibration: Recalibration | Unavailable, confidence: np.ndarray, correct: np.ndarray, *, bins: int
) -> dict[str, Bins]:
    """The held-out half in equal-width bins, before and after each family that has an optimum."""
    if isinstance(recalibration, Unavailable):
        return {}
    rows = recalibration.held_out
    partitions = {"held out": equal_width(confidence[rows], correct[rows], bins=bins, rows=rows)}
    for name, family in (("temperature", recalibration.temperature), ("feature scale", recalibration.feature_scale)):
        if isinstance(family, Family):
            after = family.optimum
            partitions[name] = equal_width(after.confidence, after.correct, bins=bins, rows=rows)
    return partitions


def recalibrated(
    recalibration: Recalibration | Unavailable, resampled: Mapping[str, Resampled], log_p_label: np.ndarray
) -> Iterator[Finding]:
    """Yields the keys of `HELD_OUT`.

    Args:
        recalibration: both families, or why there are no halves.
        resampled: of `partitions_of`.
        log_p_label: (n,) of all images, nothing rescaled.
    """
    if isinstance(recalibration, Unavailable):
        for spec in HELD_OUT:
            yield Skipped(key=spec.pattern, reason=recalibration.reason)
        return
    note = "held-out half, nothing rescaled"
    yield resampled["held out"].measure("calibration.ece_heldout", expected_error, note)
    nll = -log_p_label[recalibration.held_out]
    yield mean("calibration.nll_heldout", nll, unit=Unit.NATS, better=Better.LOWER, note=note)
    yield from _temperature(recalibration, resampled)
    yield from _feature_scale(recalibration, resampled)


def _temperature(recalibration: Recalibration, resampled: Mapping[str, Resampled]) -> Iterator[Finding]:
    family = recalibration.temperature
    if isinstance(family, Unavailable):
        for key in TEMPERATURE_KEYS:
            yield Skipped(key=key, reason=family.reason)
        return
    note = f"T fitted by NLL on {len(recalibration.fitting)} other images"
    yield unresampled(
        "calibration.temperature",
        1 / family.scale,
        len(recalibration.fitting),
        unit=Unit.RATIO,
        better=Better.NEITHER,
        note="above 1: over-confident",
    )
    yield resampled["temperature"].measure("calibration.ece_after_temperature", expected_error, note)
    after = -family.optimum.log_p_label
    yield mean("calibration.nll_after_temperature", after, unit=Unit.NATS, better=Better.LOWER, note=note)


def _feature_scale(recalibration: Recalibration, resampled: Mapping[str, Resampled]) -> Iterator[Finding]:
    family = recalibration.feature_scale
    if isinstance(family, Unavailable):
        for key in FEATURE_SCALE_KEYS:
            yield Skipped(key=key, reason=family.reason)
        return
    note = f"S fitted by NLL on {len(recalibration.fitting)} other images"
    yield unresampled(
        "calibration.feature_scale",
        family.scale,
        len(recalibration.fitting),
        unit=Unit.RATIO,
        better=Better.NEITHER,
        note="below 1: over-confident",
    )
    yield resampled["feature scale"].measure("calibration.ece_after_feature_scale", expected_error, note)
    hits, n = int(family.optimum.correct.sum()), len(recalibration.held_out)
    yield Measurement(
        key="calibration.top1_after_feature_scale",
        value=hits / n,
        unit=Unit.FRACTION,
        better=Better.HIGHER,
        n=n,
        interval=wilson(hits, n),
        note=note,
    )
