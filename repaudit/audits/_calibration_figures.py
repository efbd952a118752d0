"""The data behind the calibration plots: JSON values, already aggregated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits._recalibration import Family
from repaudit.finding import Figure

if TYPE_CHECKING:
    from repaudit.audits._recalibration import Recalibration, Unavailable
    from repaudit.audits._resampled import Resampled

LEVELS = (0.005, 0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 0.995)
"""Quantiles of the null band."""


def reliability(width: Resampled, bins: int) -> Figure:
    """`calibration.reliability`: per equal-width bin its edges, count, mean confidence and accuracy."""
    partition, sums = width.bins, width.observed
    count = np.zeros(bins, dtype=np.int64)
    count[partition.occupied] = sums.count
    confidence: list[float | None] = [None] * bins
    accuracy: list[float | None] = [None] * bins
    for place, b in enumerate(partition.occupied):
        confidence[b] = float(sums.confidence[place] / sums.count[place])
        accuracy[b] = float(sums.correct[place] / sums.count[place])
    return Figure(
        key="calibration.reliability",
        data={
            "convention": "equal-width bins (a,b]; confidence 0 in the first, 1 in the last; float64 softmax",
            "bins": bins,
            "n_conf_eq_1": int((partition.confidence == 1).sum()),
            "edge": partition.edges.tolist(),
            "count": count.tolist(),
            "confidence": confidence,
            "accuracy": accuracy,
        },
    )


def null_band(errors: np.ndarray, *, observed: float, images: int) -> Figure:
    """`calibration.null_band`: quantiles of the ECE of a perfectly calibrated model, and how often it is as large."""
    return Figure(
        key="calibration.null_band",
        data={
            "level": list(LEVELS),
            "quantile": np.quantile(errors, LEVELS).tolist(),
            "observed": observed,
            "p_value": (1 + int((errors >= observed).sum())) / (1 + len(errors)),
            "draws": len(errors),
            "images": images,
        },
    )


def feature_scaling(recalibration: Recalibration) -> Figure:
    """`calibration.feature_scaling`: accuracy, ECE and NLL against S and against T on the held-out half."""
    return Figure(
        key="calibration.feature_scaling",
        data={
            "feature_scale": recalibration.feature_scale_curve,
            "temperature": recalibration.temperature_curve,
            "images": len(recalibration.held_out),
        },
    )


def fit(recalibration: Recalibration, *, seed: int, fraction: float) -> Figure:
    """`calibration.fit`: which images were fitted on, T*, S* and their product (1 for a bias-free head)."""
    inverse, scale = _scale(recalibration.temperature), _scale(recalibration.feature_scale)
    return Figure(
        key="calibration.fit",
        data={
            "fit_split": "seeded, stratified by class",
            "fraction": fraction,
            "seed": seed,
            "fit_images": len(recalibration.fitting),
            "held_out_images": len(recalibration.held_out),
            "temperature": None if inverse is None else 1 / inverse,
            "feature_scale": scale,
            "product": None if inverse is None or scale is None else scale / inverse,
        },
    )


def _scale(family: Family | Unavailable) -> float | None:
    return family.scale if isinstance(family, Family) else None
