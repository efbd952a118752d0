"""Where the loss of each class falls over the plane of the features, and where it is least (RS, Figs. 2 and 11)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.metrics.plane import loss_and_descent
from repaudit.render.figures._canvas import LEFT, Box, sheet, write
from repaudit.render.figures._confidence import LEVELS, scale
from repaudit.render.figures._letters import fitted
from repaudit.render.figures._marks import Look, Shape, key, marks, place_in
from repaudit.render.figures._plane import Frame, Plane, frame_of, read_plane, winners
from repaudit.render.figures._plane_marks import arrow_marks, contours, square
from repaudit.render.figures._plot import Plot, Sketch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST, COLUMNS = 12, 3
SIDE, ACROSS, DOWN = 112.0, 12.0, 30.0
"""Of one panel, and between two."""
TOP = 82.0
ARROWS = 8
"""Along each side of a panel."""
POINTS_ACROSS = 81


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields a panel a class, for at most twelve: those with the largest regions."""
    plane = read_plane(report)
    if plane is None or plane.features.shape[1] != 2:
        return
    frame = frame_of(plane)
    shares = np.bincount(winners(plane, frame).ravel(), minlength=len(plane.weight))
    chosen = sorted(np.argsort(-shares, kind="stable")[:MOST].tolist())
    of_all = f"{len(chosen)} of the {len(plane.weight):,} classes, those with the largest regions" if (
        len(chosen) < len(plane.weight)
    ) else f"each of the {len(chosen)} classes"  # fmt: skip
    levels = ", ".join(f"{level:g}" for level in LEVELS)
    told = [f"{plane.names[label]} at {_numbers(plane.minima[label])}" for label in chosen if plane.finite[label]]
    least = f"It has a minimum for {'; '.join(told)}." if told else "It has a minimum for none of them."
    yield Sketch(
        title="Loss of each class over the plane of the features",
        caption=f"Loss −ln p of {of_all}: arrows point where it falls, their length is the square root of its slope; "
        f"lines where p is {levels}. Dots are the class's own features.",
        alternative=f"{len(chosen)} panels with the loss of one class each. {least}",
        paint=partial(paint, plane, frame, chosen),
    )


def _numbers(point: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in point.tolist())


def paint(plane: Plane, frame: Frame, chosen: list[int], inks: Inks) -> Figure:
    """Panels in rows; numbers stand on the left and below alone."""
    rows = -(-len(chosen) // COLUMNS)
    figure = sheet(TOP + rows * (SIDE + DOWN) - DOWN + 36)
    scale(figure, inks)
    least = [
        (Look(inks.ink, Shape.SQUARE), "least loss"),
        (Look(inks.ink, Shape.SQUARE, hollow=inks.paper), "on the ball"),
    ]
    key(figure, inks, 34, [(Look(inks.ink, Shape.DIAMOND, hollow=inks.paper), "class mean"), *least])
    for number, label in enumerate(chosen):
        column, row = number % COLUMNS, number // COLUMNS
        box = Box(LEFT - 16 + column * (SIDE + ACROSS), TOP + row * (SIDE + DOWN), SIDE, SIDE)
        _panel(figure, inks, box, plane, frame, label, (column == 0, number + COLUMNS >= len(chosen)))
    return figure


def _panel(
    figure: Figure, inks: Inks, box: Box, plane: Plane, frame: Frame, label: int, numbered: tuple[bool, bool]
) -> None:
    """One class; `numbered` says whether numbers stand on the left, and below."""
    ends = [("", frame.low[place], frame.high[place]) for place in range(2)]
    axes = square(figure, inks, box, ends[0], ends[1])
    axes.tick_params(labelleft=numbered[0], labelbottom=numbered[1])
    write(figure, inks.ink, box.left + SIDE / 2, box.top - 7, fitted(plane.names[label], SIDE), align="center")
    x, y = (np.linspace(low, high, POINTS_ACROSS) for low, high in zip(frame.low, frame.high, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    loss, _ = loss_and_descent(points, plane.weight, plane.bias, label)
    contours(figure, inks, axes, (x, y), np.exp(-loss).reshape(len(y), len(x)), 1.1)
    steps = (np.arange(ARROWS) + 0.5) / ARROWS
    starts = frame.low + np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * (frame.high - frame.low)
    _, ways = loss_and_descent(starts, plane.weight, plane.bias, label)
    slopes = np.linalg.norm(ways, axis=1, keepdims=True)
    if slopes.max() > 0:
        units = np.divide(ways, slopes, out=np.zeros_like(ways), where=slopes > 0)
        tails = place_in(axes, *starts.T)
        tips = tails + units * np.sqrt(slopes / slopes.max()) * SIDE / ARROWS * 0.8
        arrow_marks(figure, tails, tips, inks.muted, width=0.8, layer=2.4, barb=2.6)
    marks(figure, place_in(axes, *plane.features[plane.labels == label].T), Shape.DOT, inks.muted, size=2.2, layer=2.3)
    for rows, shape, hollow in (
        (plane.means, Shape.DIAMOND, inks.paper),
        (plane.minima, Shape.SQUARE, None if plane.finite[label] else inks.paper),
    ):
        at = rows[label]
        if ((at >= frame.low) & (at <= frame.high)).all():
            marks(figure, place_in(axes, [at[0]], [at[1]]), shape, inks.ink, size=6.5, hollow=hollow, layer=3.6)


plot = Plot(audit="plane", sketches=sketches)
