"""Neural collapse as findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.finding import NOT_RESAMPLED, Better, Bounds, Measurement, Skipped, Unit, key_specs
from repaudit.metrics.collapse import NeuralCollapse, neural_collapse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.audits._geometry_measure import Split

DECLARED = (
    *key_specs(
        Unit.RATIO,
        Better.NEITHER,
        Bounds.NONE,
        *(f"collapse.{name}" for name in ("nc1", "nc2_means_cv", "nc2_weights_cv", "nc2_coherence", "nc3")),
    ),
    *key_specs(Unit.COSINE, Better.NEITHER, Bounds.NONE, "collapse.nc2_angle"),
    *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.NONE, "collapse.nc4"),
)


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    value: float | None
    unit: Unit
    n: int
    note: str
    reason: str


def collapse_findings(split: Split) -> Iterator[Measurement | Skipped]:
    """Yields `collapse.*`; each figure that is undefined is skipped with its reason."""
    present = len(np.unique(split.labels))
    if present < 2:
        yield Skipped(key="collapse.*", reason=f"neural collapse compares classes; only {present} has images")
        return
    found = neural_collapse(split.features, split.labels, split.summary.prediction, split.weight)
    for figure in _figures(found, len(split.labels), split.features.shape[1]):
        key = f"collapse.{figure.name}"
        if figure.value is None:
            yield Skipped(key=key, reason=figure.reason)
            continue
        yield Measurement(
            key=key,
            value=figure.value,
            unit=figure.unit,
            better=Better.NEITHER,
            n=figure.n,
            interval_reason=NOT_RESAMPLED,
            note=f"{figure.note}; measured on the evaluation split",
        )


def _figures(found: NeuralCollapse, images: int, width: int) -> list[_Figure]:
    classes = found.classes
    return [
        _Figure(
            "nc1",
            found.nc1,
            Unit.RATIO,
            images,
            f"tr(Σ_W Σ_B⁺)/m, m = {classes} classes",
            "the class means coincide, or no class has two images",
        ),
        *_simplex_figures(found, width),
        _Figure(
            "nc3",
            found.nc3,
            Unit.RATIO,
            classes,
            f"uncentred W against centred means; {_counted(classes)}",
            "the class means coincide, or the head is zero",
        ),
        _Figure("nc4", found.nc4, Unit.FRACTION, images, "the nearest class mean is not the predicted class's", ""),
    ]


def _simplex_figures(found: NeuralCollapse, width: int) -> list[_Figure]:
    classes, counted = found.classes, _counted(found.classes)
    equal = "class means coincide, or one lies at their common mean"
    lengths, weights = f"norms of centred class means; {counted}", f"norms of w_c − w̄; {counted}"
    angle, coherence = f"mean |cos + 1/(m − 1)|; {counted}", f"max |cos| over Welch's bound; {counted}"
    if width >= classes - 1:
        no_angle, no_coherence = equal, f"d = {width} holds a simplex of {classes} classes; see collapse.nc2_angle"
    else:
        no_angle, no_coherence = f"d = {width} holds no simplex of {classes} classes; see collapse.nc2_coherence", equal
    return [
        _Figure("nc2_means_cv", found.nc2_means_cv, Unit.RATIO, classes, lengths, equal),
        _Figure("nc2_weights_cv", found.nc2_weights_cv, Unit.RATIO, classes, weights, "all rows of the head are equal"),
        _Figure("nc2_angle", found.nc2_angle, Unit.COSINE, classes, angle, no_angle),
        _Figure("nc2_coherence", found.nc2_coherence, Unit.RATIO, classes, coherence, no_coherence),
    ]


def _counted(classes: int) -> str:
    return f"n counts the {classes} classes with images"
