"""At which step a feature loses its label while it shrinks to the origin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    Box,
    panel,
    share_axis,
    sheet,
)
from repaudit.render.figures._data import Column, Count, Data, read
from repaudit.render.figures._marks import Look, Shape, hatch, key, place_in
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, measured, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

STEPS = 100
BAR = 5
"""Steps a bar."""
TICKS = (0.0, 25.0, 50.0, 75.0, 100.0)
NEVER, HALF, FULL = 117.0, 6.0, 126.0
"""Middle and half the width of the bar of those that never err, and the end of the axis."""


class Steps(Data):
    """`cones.steps`: images by the first step at which they are misclassified."""

    aligned = ("step", "first_misclassified")
    images: Count
    step: Column[Count]
    first_misclassified: Column[Count]
    never: Count


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the histogram over steps 1 to 100, and those that never err apart."""
    data = read(Steps, report.figures.get("cones.steps"))
    if data is None or not data.images or data.step != list(range(1, STEPS + 1)):
        return
    counts = np.array(data.first_misclassified)
    if counts.sum() + data.never != data.images:
        return
    told = f"{percent(data.never / data.images)} never lose their label on the way to the origin"
    if counts.any():
        median = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 1
        told += f", half of the others by step {median} of {STEPS}"
    mean = measured(report, "cones.first_error_step", "mean step")
    yield Sketch(
        title="First step at which the label is lost",
        caption=f"Of {counted(data.images, 'initially correct image')} {told}"
        f"{f'; {mean}, never counted as {STEPS}' if mean else ''}.",
        alternative=f"Histogram of the first misclassified of {STEPS} steps to the origin. Of "
        f"{counted(data.images, 'initially correct image')} {told}.",
        paint=partial(paint, data),
    )


def paint(data: Steps, inks: Inks) -> Figure:
    """Bars of five steps, and a hatched one apart; one vertical axis for both, from 0."""
    figure = sheet()
    shares = np.array(data.first_misclassified).reshape(-1, BAR).sum(1) / data.images
    never = data.never / data.images
    lost, kept = Look(inks.accents[0], Shape.SQUARE), Look(inks.accents[1], box=True)
    key(figure, inks, 2, [(lost, "label lost"), (kept, "never lost (hatched)")])
    texts = (*(f"{tick:g}" for tick in TICKS), "never")
    x = Axis("first misclassified step (100: the origin)", 0.0, FULL, (*TICKS, NEVER), texts)
    box = Box(LEFT, 52, WIDTH - LEFT - RIGHT, HEIGHT - 52 - BOTTOM)
    axes = panel(figure, inks, box, x, share_axis("share of the initially correct", max(float(shares.max()), never)))
    left = np.arange(0, STEPS, BAR)
    axes.bar(left, shares, BAR, align="edge", color=lost.colour, edgecolor=inks.paper, linewidth=1)
    axes.bar(NEVER, never, 2 * HALF, facecolor="none", edgecolor=kept.colour, linewidth=1.2)
    corners = place_in(axes, [NEVER - HALF, NEVER + HALF], [0.0, never])
    hatch(figure, corners[0], corners[1], kept.colour)
    return figure


plot = Plot(audit="cones", sketches=sketches)
