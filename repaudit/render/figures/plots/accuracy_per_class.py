"""Which classes it knows least."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.metrics.intervals import wilson
from repaudit.render.figures._canvas import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    Box,
    count_axis,
    panel,
    share_axis,
    sheet,
)
from repaudit.render.figures._data import Column, Count, Data, Share, read
from repaudit.render.figures._letters import fitted, wide
from repaudit.render.figures._marks import SOLID, Look, Shape, key, marks, place_in, segments
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, percent
from repaudit.render.plain import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

ROWS = 20
"""Up to so many classes have a row each; more are counted."""
LINE = 19.0
NAME = 130.0
"""Points for the name of a class."""
NAMED = 3
"""Classes that the caption names."""


class PerClass(Data):
    """`accuracy.per_class`: one entry a class that has images."""

    aligned = ("class_", "name", "images", "accuracy")
    class_: Column[int]
    name: Column[str] | None = None
    images: Column[Count]
    accuracy: Column[Share]


@dataclass(frozen=True, slots=True)
class Class:
    """One class."""

    name: str
    images: int
    accuracy: float


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields a row a class, lowest accuracy first, or a histogram of many classes."""
    figure = report.figures.get("accuracy.per_class", {})
    data = read(PerClass, {**figure, "class_": figure.get("class")})
    if data is None or 0 in data.images:
        return
    given = data.name if data.name is not None else [""] * len(data.class_)
    names = [name.strip() or f"class {label}" for name, label in zip(given, data.class_, strict=True)]
    rows = [Class(*row) for row in zip(names, data.images, data.accuracy, strict=True)]
    rows.sort(key=lambda row: row.accuracy)
    accuracy = np.array([row.accuracy for row in rows])
    worst = ", ".join(f"“{safe(row.name, 30)}” {percent(row.accuracy)} (n = {row.images:,})" for row in rows[:NAMED])
    told = (
        f"Median accuracy of {counted(len(rows), 'class', 'classes')} {percent(float(np.median(accuracy)))}, "
        f"range {percent(accuracy[0])} to {percent(accuracy[-1])}; lowest: {worst}"
    )
    paint = partial(paint_rows, rows) if len(rows) <= ROWS else partial(paint_counts, accuracy)
    convention = "; lines: 95 % Wilson intervals" if len(rows) <= ROWS else ""
    yield Sketch(
        title="Accuracy by class",
        caption=f"{told}, of {counted(sum(data.images), 'image')}{convention}.",
        alternative=f"{told}.",
        paint=paint,
    )


def paint_rows(rows: list[Class], inks: Inks) -> Figure:
    """A dot with its interval in each row."""
    names = tuple(fitted(row.name, NAME) for row in rows)
    left = max(LEFT, 14.0 + max(wide(name) for name in names))
    figure = sheet(14 + LINE * len(rows) + BOTTOM)
    y = Axis("", len(rows) - 0.5, -0.5, tuple(float(place) for place in range(len(rows))), names)
    x = share_axis("accuracy (line: 95 % interval)")
    axes = panel(figure, inks, Box(left, 14, WIDTH - left - RIGHT, LINE * len(rows)), x, y)
    limits = [wilson(round(row.accuracy * row.images), row.images) for row in rows]
    places = list(range(len(rows)))
    low, high = (place_in(axes, [getattr(limit, end) for limit in limits], places) for end in ("low", "high"))
    segments(figure, low, high, inks.accents[0], 1.6)
    marks(figure, place_in(axes, [row.accuracy for row in rows], places), Shape.DOT, inks.accents[0], size=8)
    return figure


def paint_counts(accuracy: np.ndarray, inks: Inks) -> Figure:
    """Classes in bins of five per cent, and a line at the median."""
    figure = sheet()
    median = Look(inks.accents[1], dashes=SOLID, upright=True, width=2.5)
    key(figure, inks, 2, [(Look(inks.accents[0], Shape.SQUARE), "classes"), (median, "median class")])
    counts, edges = np.histogram(accuracy, bins=20, range=(0.0, 1.0))
    box = Box(LEFT, 52, WIDTH - LEFT - RIGHT, HEIGHT - 52 - BOTTOM)
    axes = panel(figure, inks, box, share_axis("accuracy"), count_axis("classes", float(counts.max())))
    width = float(edges[1])
    axes.bar(edges[:-1], counts, width, align="edge", color=inks.accents[0], edgecolor=inks.paper, linewidth=1)
    axes.axvline(float(np.median(accuracy)), color=median.colour, linewidth=median.width, zorder=3)
    return figure


plot = Plot(audit="accuracy", sketches=sketches)
