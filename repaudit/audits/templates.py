"""How do three classes lie to one another, seen on the plane through their three rows of the head?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, field_validator

from repaudit.audits import Audit
from repaudit.audits._geometry_measure import Split, split_of
from repaudit.audits._templates_definitions import DEFINITIONS
from repaudit.case import Case, Parameters, Permissions
from repaudit.classifier import Capability, Classifier
from repaudit.errors import InvalidProfile
from repaudit.finding import (
    NOT_RESAMPLED,
    Better,
    Bounds,
    Figure,
    Finding,
    Measurement,
    Skipped,
    Unit,
    key_specs,
    plotted,
)
from repaudit.images import stratified
from repaudit.metrics.intervals import wilson
from repaudit.metrics.projection import TemplatePlane, plane_share, telling_trio, template_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

PLANE, NEAREST = KEYS = ("templates.plane_share", "templates.nearest_share")


class TemplatesParameters(Parameters):
    """Which classes, and how many of their images are drawn."""

    classes: tuple[int, int, int] | None = None
    """Three class indices; null takes the two most often taken for one another, and the one that least is for them."""
    sample: Annotated[int, Field(ge=3, le=900)] = 450
    """Images of the three classes whose features are drawn."""

    @field_validator("classes")
    @classmethod
    def _three(cls, classes: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        if classes is not None and (len(set(classes)) < 3 or min(classes) < 0):
            raise ValueError("three different class indices are wanted, from 0 on")
        return classes


def check(parameters: TemplatesParameters, classifier: Classifier, _: Permissions) -> None:
    """Refuses classes that the model does not have."""
    count = classifier.card.classes_count
    if parameters.classes is not None and max(parameters.classes) >= count:
        raise InvalidProfile(
            f"`templates.classes` names class {max(parameters.classes)}; this model has {count}",
            detail=f"classes are counted from 0 to {count - 1}",
            remedy=f"--set templates.classes=[0, 1, {max(count - 1, 2)}]",
        )


def run(case: Case[TemplatesParameters]) -> Iterator[Finding]:
    """Yields `templates.*` and the projection."""
    split = split_of(case.evidence)
    if split is None:
        yield from _skipped(case.classifier.card.head.reason or "the model has no linear head")
        return
    trio = case.parameters.classes or telling_trio(split.labels, split.summary.prediction)
    if trio is None:
        yield from _skipped("a plane needs images of three classes")
        return
    missing = [label for label in trio if not (split.labels == label).any()]
    if missing:
        yield from _skipped(f"there is no image of class {missing[0]}")
        return
    plane = template_plane(split.weight[list(trio)])
    if plane is None:
        yield from _skipped(f"the rows of classes {trio[0]}, {trio[1]} and {trio[2]} lie on a line")
        return
    yield from _measured(case, split, trio, plane)


def _skipped(reason: str) -> Iterator[Finding]:
    for key in KEYS:
        yield Skipped(key=key, reason=reason)


def _measured(
    case: Case[TemplatesParameters], split: Split, trio: tuple[int, int, int], plane: TemplatePlane
) -> Iterator[Finding]:
    rows = np.flatnonzero(np.isin(split.labels, trio))
    features, labels = split.features[rows], split.labels[rows]
    places = plane.coordinates(features)
    means = np.stack([places[labels == label].mean(axis=0) for label in trio])
    n = len(rows)
    share = plane_share(features, plane)
    if share is None:
        yield Skipped(key=PLANE, reason="all features of these classes are the same")
    else:
        yield Measurement(
            key=PLANE,
            value=share,
            unit=Unit.FRACTION,
            better=Better.NEITHER,
            n=n,
            interval_reason=NOT_RESAMPLED,
            note=f"classes {trio[0]}, {trio[1]} and {trio[2]}, about their common mean",
        )
    nearest = np.linalg.norm(places[:, None, :] - means[None], axis=2).argmin(axis=1)
    hits = int((np.array(trio)[nearest] == labels).sum())
    yield Measurement(
        key=NEAREST,
        value=hits / n,
        unit=Unit.FRACTION,
        better=Better.NEITHER,
        n=n,
        interval=wilson(hits, n),
        note="in the plane, each image's own part in its class's mean included",
    )
    yield _figure(case, split, trio, plane, rows[stratified(labels, case.parameters.sample, case.seed)], means)


def _figure(
    case: Case[TemplatesParameters],
    split: Split,
    trio: tuple[int, int, int],
    plane: TemplatePlane,
    rows: np.ndarray,
    means: np.ndarray,
) -> Figure:
    names = case.images.class_names
    templates = plane.coordinates(split.weight[list(trio)])
    return Figure(
        key="templates.projection",
        data={
            "images": int(np.isin(split.labels, trio).sum()),
            "class": list(trio),
            "name": [names[label] if names is not None and label < len(names) else None for label in trio],
            "template": [plotted(row) for row in templates],
            "mean": [plotted(row) for row in means],
            "place": [plotted(row) for row in plane.coordinates(split.features[rows])],
            "of": [trio.index(label) for label in split.labels[rows].tolist()],
            "correct": split.summary.correct[rows].tolist(),
        },
    )


audit = Audit(
    question="How do three classes lie to one another?",
    version=1,
    needs=frozenset({Capability.FEATURES, Capability.LINEAR_HEAD}),
    declared=(
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.NONE, PLANE),
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.ANY, NEAREST),
    ),
    definitions=DEFINITIONS,
    parameters=TemplatesParameters,
    run=run,
    check=check,
)
