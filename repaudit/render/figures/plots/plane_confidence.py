"""How sure the model is over the plane of its features (RS, Figs. 2 and 6)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.metrics.linear_head import softmax
from repaudit.metrics.plane import confidence
from repaudit.render.figures._canvas import BOTTOM, LEFT, RIGHT, WIDTH, Box, sheet
from repaudit.render.figures._confidence import LEVELS, scale
from repaudit.render.figures._marks import Look, Shape, key, marks, place_in
from repaudit.render.figures._plane import Frame, Plane, colours, frame_of, read_plane, regions, winners
from repaudit.render.figures._plane_marks import contours, region_names, shade, square
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

SIDE = WIDTH - LEFT - RIGHT
TOP = 66.0
POINTS_ACROSS = 161
SURE = LEVELS[-1]
STEPS = range(len(LEVELS))
HALF = 0.5
"""From here on one class alone is as sure: its own probability is smooth, where the highest has a ridge."""
WIDE = 1.6


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the plane of two features."""
    plane = read_plane(report)
    if plane is None or plane.features.shape[1] != 2:
        return
    frame = frame_of(plane)
    lattice, chances = _over(plane, frame)
    values = chances.max(axis=2)
    own = confidence(plane.features, plane.weight, plane.bias)
    share, sure, wrong = float((values > SURE).mean()), int((own > SURE).sum()), (own > SURE) & ~plane.correct
    counts = f"{percent(share)} of the frame lies beyond {SURE:g}, with {sure:,} of the {len(own):,} features, "
    counts += f"{int(wrong.sum()):,} of them answered wrong"
    yield Sketch(
        title="Confidence over the plane of the features",
        caption=f"Lines where the highest probability is {', '.join(f'{level:g}' for level in LEVELS)}: {counts}.",
        alternative=f"Contours of confidence and {counted(len(own), 'feature')}. {counts[0].upper()}{counts[1:]}.",
        paint=partial(paint, plane, frame, lattice, chances),
    )


def _over(plane: Plane, frame: Frame) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Positions along both sides of the frame, and (k, k, c) probabilities where they cross."""
    x, y = (np.linspace(low, high, POINTS_ACROSS) for low, high in zip(frame.low, frame.high, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return (x, y), softmax(points @ plane.weight.T + plane.bias).reshape(POINTS_ACROSS, POINTS_ACROSS, -1)


def paint(
    plane: Plane, frame: Frame, lattice: tuple[np.ndarray, np.ndarray], chances: np.ndarray, inks: Inks
) -> Figure:
    """Outlines of regions, lines of equal confidence, features on top."""
    figure = sheet(TOP + SIDE + BOTTOM)
    scale(figure, inks)
    looks = [(Look(inks.muted, Shape.DOT), "right"), (Look(inks.ink, Shape.CROSS), "wrong")]
    key(figure, inks, 2, looks, left=290)
    ends = [(f"feature {place + 1}", frame.low[place], frame.high[place]) for place in range(2)]
    axes = square(figure, inks, Box(LEFT, TOP, SIDE, SIDE), ends[0], ends[1])
    cells = winners(plane, frame)
    parts = regions(plane, frame, cells)
    shade(axes, inks, parts, colours(plane, cells), filled=False)
    contours(figure, inks, axes, lattice, chances.max(axis=2), WIDE, [step for step in STEPS if LEVELS[step] < HALF])
    for label in parts:
        upper = [step for step in STEPS if LEVELS[step] >= HALF]
        contours(figure, inks, axes, lattice, chances[:, :, label], WIDE, upper)
    places = place_in(axes, *plane.features.T)
    marks(figure, places[plane.correct], Shape.DOT, inks.muted, size=2.4, layer=2.6)
    marks(figure, places[~plane.correct], Shape.CROSS, inks.ink, size=4.5, layer=2.8)
    region_names(figure, inks, axes, plane, parts, places)
    return figure


plot = Plot(audit="plane", sketches=sketches)
