"""Features, class means, weight vectors and minima over the decision regions (RS, Figs. 1, 4, 5 and 10)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import BOTTOM, LEFT, RIGHT, WIDTH, Box, sheet
from repaudit.render.figures._marks import key, place_in
from repaudit.render.figures._plane import COLOURS, Frame, Plane, colours, frame_of, read_plane, regions, winners
from repaudit.render.figures._plane_marks import cloud, landmarks, name_looks, names, region_names, shade, square
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

SIDE = WIDTH - LEFT - RIGHT
KEY = 66.0
"""Height of the names of what is drawn."""
SMALL, BETWEEN = 158.0, 46.0
"""Side of one of three panels, and the room between two."""
VIEWS = ((0, 1), (2, 1), (0, 2))
TOLD = 3
"""Minima outside of the frame of which the caption speaks."""


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the plane of two features, or three views of the space of three."""
    plane = read_plane(report)
    if plane is None:
        return
    flat = plane.features.shape[1] == 2
    frame = frame_of(plane)
    yield Sketch(
        title="The plane of the features" if flat else "The space of the features, from three sides",
        caption=_caption(plane, frame, flat=flat),
        alternative=_alternative(plane, frame, flat=flat),
        paint=partial(paint if flat else paint_views, plane, frame),
    )


def _caption(plane: Plane, frame: Frame, *, flat: bool) -> str:
    shown, wrong = len(plane.labels), int((~plane.correct).sum())
    of_all = f"{shown:,} of the {plane.images:,} images" if shown < plane.images else counted(shown, "image")
    place = "over the regions in which each class has the highest logit" if flat else (
        "as projections, in which regions would cover one another and are not drawn"
    )  # fmt: skip
    return (
        f"Features of {of_all}, {wrong:,} answered wrong, {place}. "
        f"Weight vectors are drawn {frame.arrows:.3g} times as long. {_minima(plane, frame)}"
    ).rstrip()


def _minima(plane: Plane, frame: Frame) -> str:
    known = np.isfinite(plane.minima).all(axis=1)
    if not known.any() or plane.radius is None:
        return ""
    said = f"The loss of {int(plane.finite[known].sum())} of {counted(int(known.sum()), 'class', 'classes')} "
    said += "has a minimum; of the others its least is marked on the ball whose radius is the mean norm of correct "
    said += f"features, {plane.radius:.3g}."
    if frame.far:
        told = [f"{plane.names[label]} ({_numbers(plane.minima[label])})" for label in frame.far[:TOLD]]
        more = f" and {len(frame.far) - TOLD} more" if len(frame.far) > TOLD else ""
        said += f" Too far out to be drawn: {', '.join(told)}{more}."
    return said


def _numbers(point: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in point.tolist())


def _alternative(plane: Plane, frame: Frame, *, flat: bool) -> str:
    told = f"Features of {counted(len(plane.labels), 'image')} in {len(frame.low)} dimensions"
    if flat:
        cells = winners(plane, frame)
        shares = np.bincount(cells.ravel(), minlength=len(plane.weight)) / cells.size
        largest = int(shares.argmax())
        told += (
            f"; {int((shares > 0).sum())} of {len(plane.weight)} classes have a region in the frame, the largest, "
            f"{plane.names[largest]}, {100 * shares[largest]:.0f} % of it"
        )
    return f"{told}. {_minima(plane, frame)}".rstrip()


def paint(plane: Plane, frame: Frame, inks: Inks) -> Figure:
    """Regions below, then features, then what stands for a class."""
    figure = sheet(KEY + SIDE + BOTTOM)
    key(figure, inks, 2, name_looks(inks, plane))
    ends = [(f"feature {place + 1}", frame.low[place], frame.high[place]) for place in range(2)]
    axes = square(figure, inks, Box(LEFT, KEY, SIDE, SIDE), ends[0], ends[1])
    cells = winners(plane, frame)
    parts, colour_of = regions(plane, frame, cells), colours(plane, cells)
    shade(axes, inks, parts, colour_of, filled=True)
    places = place_in(axes, *plane.features.T)
    cloud(figure, inks, places, plane, colour_of)
    landmarks(figure, inks, axes, plane, (0, 1), frame.arrows)
    known = [rows[np.isfinite(rows).all(axis=1)] for rows in (plane.means, plane.minima, frame.arrows * plane.weight)]
    busy = np.vstack([places, place_in(axes, *np.vstack(known).T)])
    region_names(figure, inks, axes, plane, parts, busy)
    return figure


def paint_views(plane: Plane, frame: Frame, inks: Inks) -> Figure:
    """Three projections; a class's name stands at its mean."""
    figure = sheet(KEY + 2 * SMALL + 62 + BOTTOM)
    key(figure, inks, 2, name_looks(inks, plane))
    colour_of = np.arange(len(plane.weight)) % COLOURS
    for number, (across, up) in enumerate(VIEWS):
        box = Box(LEFT + number % 2 * (SMALL + BETWEEN), KEY + number // 2 * (SMALL + 62), SMALL, SMALL)
        x, y = ((f"feature {place + 1}", frame.low[place], frame.high[place]) for place in (across, up))
        axes = square(figure, inks, box, x, ("" if number == 1 else y[0], *y[1:]))
        cloud(figure, inks, place_in(axes, *plane.features[:, [across, up]].T), plane, colour_of, size=2.6)
        landmarks(figure, inks, axes, plane, (across, up), frame.arrows)
        entries = []
        for label, mean in enumerate(plane.means[:, [across, up]]):
            if np.isfinite(mean).all():
                aside = np.array([(0.0, 13.0), (0.0, -13.0), (22.0, 0.0), (-22.0, 0.0)])
                entries.append((plane.names[label], place_in(axes, [mean[0]], [mean[1]]) + aside))
        names(figure, inks, axes, entries)
    return figure


plot = Plot(audit="plane", sketches=sketches)
