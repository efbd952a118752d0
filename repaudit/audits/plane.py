"""What does a plane of features look like: for models whose penultimate layer has two or three features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from repaudit.audits import Audit
from repaudit.audits._geometry_measure import NO_CORRECT, Split, split_of
from repaudit.audits._plane_definitions import DEFINITIONS
from repaudit.audits._plane_snapshots import training_figure
from repaudit.case import Case, Parameters
from repaudit.classifier import Capability
from repaudit.finding import (
    NOT_RESAMPLED,
    NOT_SAMPLED,
    Better,
    Bounds,
    Figure,
    Finding,
    Measurement,
    Notice,
    Skipped,
    Unit,
    key_specs,
    plotted,
)
from repaudit.images import stratified
from repaudit.metrics.centers import class_means
from repaudit.metrics.plane import GROWTH, FreeMinima, free_minima, leading_share

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE, FINITE = "plane.variance_share", "plane.finite_minima"
WIDEST = 3
"""Features that can be drawn as they are."""
MOST_CLASSES = 1000
"""Whose rows a report keeps for the drawing."""


class PlaneParameters(Parameters):
    """How much is drawn."""

    sample: Annotated[int, Field(ge=1, le=500)] = 400
    """Images whose features are drawn, every class in its share."""


def run(case: Case[PlaneParameters]) -> Iterator[Finding]:
    """Yields `plane.*`, and what a drawing of the plane (or space) of the features is made from."""
    split = split_of(case.evidence)
    if split is None:
        reason = case.classifier.card.head.reason or "the model has no linear head"
        yield Skipped(key=SHARE, reason=reason)
        yield Skipped(key=FINITE, reason=reason)
        return
    yield _share(split)
    width = split.features.shape[1]
    if width > WIDEST:
        yield Skipped(
            key=FINITE,
            reason=f"features of {width} dimensions lie in no plane; `repaudit train --bottleneck 2` makes a model "
            "whose features do",
        )
        return
    yield from _drawn(case, split)


def _share(split: Split) -> Finding:
    share = leading_share(split.features)
    if share is None:
        return Skipped(key=SHARE, reason="all features are the same")
    return Measurement(
        key=SHARE,
        value=share,
        unit=Unit.FRACTION,
        better=Better.NEITHER,
        n=len(split.labels),
        interval_reason=NOT_RESAMPLED,
        note=f"two leading directions of {split.features.shape[1]}, all images",
    )


def _drawn(case: Case[PlaneParameters], split: Split) -> Iterator[Finding]:
    yield _features(case, split)
    norms = split.norms[split.summary.correct]
    minima, radius = None, None
    asked = np.union1d(split.labels, split.summary.prediction)
    if norms.any():
        radius = float(norms.mean())
        minima = free_minima(split.weight, split.bias, radius, asked)
        yield Measurement(
            key=FINITE,
            value=float(minima.finite[asked].mean()),
            unit=Unit.FRACTION,
            better=Better.NEITHER,
            n=len(asked),
            interval_reason=NOT_SAMPLED,
            note=f"of the classes; looked for within {GROWTH[-1]:g} times the mean norm of correct features, "
            f"{radius:.4g}",
        )
    else:
        reason = "every correct feature is 0" if len(norms) else NO_CORRECT
        yield Skipped(key=FINITE, reason=f"{reason}, so there is no radius to look within")
    if len(split.weight) > MOST_CLASSES:
        text = f"the plane of {len(split.weight):,} classes is not drawn: a report keeps rows of {MOST_CLASSES:,}"
        yield Notice(code="plane-of-many-classes", message=text)
        return
    yield _classes(case, split, minima, radius)
    training = training_figure(case.classifier, split.weight, case.seed)
    if training is not None:
        yield training


def _features(case: Case[PlaneParameters], split: Split) -> Figure:
    rows = stratified(split.labels, case.parameters.sample, case.seed)
    return Figure(
        key="plane.features",
        data={
            "images": len(split.labels),
            "feature": [plotted(feature) for feature in split.features[rows]],
            "label": split.labels[rows].tolist(),
            "correct": split.summary.correct[rows].tolist(),
        },
    )


def _classes(case: Case[PlaneParameters], split: Split, minima: FreeMinima | None, radius: float | None) -> Figure:
    count = len(split.weight)
    means = class_means(split.features, split.labels, split.summary.correct, count).means
    names = case.images.class_names
    return Figure(
        key="plane.classes",
        data={
            "name": None if names is None else [names[c] if c < len(names) else None for c in range(count)],
            "weight": [_exact(row) for row in split.weight],
            "bias": _exact(split.bias),
            "mean": [plotted(mean) if np.isfinite(mean).all() else None for mean in means],
            "minimum": [None] * count
            if minima is None
            else [plotted(point) if np.isfinite(point).all() else None for point in minima.points],
            "finite": [False] * count if minima is None else minima.finite.tolist(),
            "radius": radius,
        },
    )


def _exact(values: np.ndarray) -> list[float]:
    """Seven digits: all that float32 has, so that a drawing's regions are the network's."""
    return [float(f"{value:.7g}") for value in values.tolist()]


audit = Audit(
    question="What does the plane of its features look like?",
    version=1,
    needs=frozenset({Capability.FEATURES, Capability.LINEAR_HEAD}),
    declared=key_specs(Unit.FRACTION, Better.NEITHER, Bounds.NONE, SHARE, FINITE),
    definitions=DEFINITIONS,
    parameters=PlaneParameters,
    run=run,
)
