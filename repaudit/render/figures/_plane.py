"""The plane (or space) of the features as figures show it: read from a report, framed, its classes coloured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from repaudit.metrics.plane import region
from repaudit.render.figures._attacks import short
from repaudit.render.figures._data import Column, Count, Data, Number, read

if TYPE_CHECKING:
    from repaudit.report import Report

MOST_POINTS = 1000
COLOURS = 6
FAR = 3.0
"""Minima further out than so many times the features are told, not drawn: the features would shrink to a dot."""
ARROW = 0.3
"""Length of the longest weight vector, as a share of the frame without them."""
GRID = 96
"""Cells along each side of the frame in which regions are looked for."""

Row: TypeAlias = Annotated[list[Number], Field(min_length=2, max_length=3)]


class _Classes(Data):
    """`plane.classes`."""

    aligned = ("name", "weight", "bias", "mean", "minimum", "finite")
    name: Column[str | None] | None = None
    weight: Annotated[list[Row], Field(min_length=2, max_length=1000)]
    bias: Column[Number]
    mean: Column[Row | None]
    minimum: Column[Row | None]
    finite: Column[bool]
    radius: Annotated[float, Field(gt=0, le=1e9)] | None = None

    @model_validator(mode="after")
    def _one_width(self) -> _Classes:
        rows = [*self.weight, *self.mean, *self.minimum]
        if len({len(row) for row in rows if row is not None}) != 1:
            raise ValueError("rows of differing widths")
        return self


class _Features(Data):
    """`plane.features`: a sample of the images."""

    aligned = ("feature", "label", "correct")
    images: Count
    feature: Annotated[list[Row], Field(max_length=MOST_POINTS)]
    label: Column[Count]
    correct: Column[bool]


@dataclass(frozen=True, slots=True)
class Plane:
    """Features of two or three dimensions, and the head over them."""

    images: int
    features: np.ndarray
    """(n, d) of a sample."""
    labels: np.ndarray
    """(n,)."""
    correct: np.ndarray
    """(n,) bool."""
    weight: np.ndarray
    """(c, d)."""
    bias: np.ndarray
    """(c,)."""
    means: np.ndarray
    """(c, d); NaN where a class has none."""
    minima: np.ndarray
    """(c, d); NaN where there is none."""
    finite: np.ndarray
    """(c,) bool: the loss is least there in the whole space, not on the ball alone."""
    radius: float | None
    """Of the ball."""
    names: tuple[str, ...]
    """Printable."""


def read_plane(report: Report) -> Plane | None:
    """What the audit `plane` left; None where it is missing or does not fit together."""
    classes = read(_Classes, report.figures.get("plane.classes"))
    sample = read(_Features, report.figures.get("plane.features"))
    if classes is None or sample is None:
        return None
    width, count = len(classes.weight[0]), len(classes.weight)
    if {len(row) for row in sample.feature} != {width} or max(sample.label) >= count:
        return None
    nothing = [np.nan] * width
    names = classes.name or [None] * count
    return Plane(
        images=sample.images,
        features=np.array(sample.feature, dtype=np.float64),
        labels=np.array(sample.label),
        correct=np.array(sample.correct),
        weight=np.array(classes.weight, dtype=np.float64),
        bias=np.array(classes.bias, dtype=np.float64),
        means=np.array([row or nothing for row in classes.mean], dtype=np.float64),
        minima=np.array([row or nothing for row in classes.minimum], dtype=np.float64),
        finite=np.array(classes.finite),
        radius=classes.radius,
        names=tuple(short(name or f"class {place}") for place, name in enumerate(names)),
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of the feature space that is drawn."""

    low: np.ndarray
    """(d,) corner."""
    high: np.ndarray
    """(d,) opposite corner; all sides are of one length, so that angles are true."""
    arrows: float
    """By how much weight vectors are stretched."""
    far: tuple[int, ...]
    """Classes whose minimum lies outside."""


def frame_of(plane: Plane) -> Frame:
    """A cube that holds the origin, all features, means and weight vectors, and the minima that are not far out."""
    held = np.vstack([np.zeros((1, plane.features.shape[1])), plane.features, _finite(plane.means)])
    reach = float(np.abs(held).max()) or 1.0
    known = np.isfinite(plane.minima).all(axis=1)
    far = known & (np.abs(np.where(known[:, None], plane.minima, 0)).max(axis=1) > FAR * reach)
    held = np.vstack([held, plane.minima[known & ~far]])
    side = float((held.max(axis=0) - held.min(axis=0)).max()) or 1.0
    longest = float(np.linalg.norm(plane.weight, axis=1).max())
    arrows = ARROW * side / longest if longest > 0 else 1.0
    held = np.vstack([held, arrows * plane.weight])
    low, high = held.min(axis=0), held.max(axis=0)
    half = 0.54 * float((high - low).max())
    middle = (low + high) / 2
    return Frame(middle - half, middle + half, arrows, tuple(int(place) for place in np.flatnonzero(far)))


def _finite(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows[np.isfinite(rows).all(axis=1)]
    return found


def winners(plane: Plane, frame: Frame) -> np.ndarray:
    """(GRID, GRID) the class of the highest logit in the middle of each cell of a frame of two dimensions."""
    middles = (np.arange(GRID) + 0.5) / GRID
    x, y = (low + middles * (high - low) for low, high in zip(frame.low, frame.high, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    found: np.ndarray = (points @ plane.weight.T + plane.bias).argmax(axis=1).reshape(GRID, GRID)
    return found


def regions(plane: Plane, frame: Frame, cells: np.ndarray) -> dict[int, np.ndarray]:
    """(m, 2) corners of the decision region of every class that wins a cell."""
    shown = np.unique(cells)
    window = np.stack([frame.low, frame.high])
    parts = {}
    for place, label in enumerate(shown):
        polygon = region(plane.weight[shown], plane.bias[shown], place, window)
        if len(polygon) > 2:
            parts[int(label)] = polygon
    return parts


def colours(plane: Plane, cells: np.ndarray) -> np.ndarray:
    """(c,) one of six colours a class, such that regions beside one another differ."""
    count = len(plane.weight)
    beside: list[set[int]] = [set() for _ in range(count)]
    pairs = [(cells[1:], cells[:-1]), (cells[:, 1:], cells[:, :-1])]
    for here, there in pairs:
        for one, other in np.unique(np.stack([here[here != there], there[here != there]], axis=1), axis=0).tolist():
            beside[one].add(other)
            beside[other].add(one)
    left, order = set(range(count)), []
    while left:  # the one with fewest neighbours last: of a map it has at most five, so that six colours are enough
        least = min(left, key=lambda label: (len(beside[label] & left), -label))
        order.append(least)
        left.remove(least)
    chosen = np.full(count, -1)
    used = [0] * COLOURS
    for label in reversed(order):
        taken = {int(chosen[other]) for other in beside[label]}
        free = [colour for colour in range(COLOURS) if colour not in taken] or list(range(COLOURS))
        chosen[label] = min(free, key=lambda colour: (used[colour], colour))
        used[chosen[label]] += 1
    return chosen
