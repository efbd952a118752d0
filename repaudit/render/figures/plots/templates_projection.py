"""Features of three classes on the plane through their rows of the head (VS, Fig. 2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from repaudit.render.figures._attacks import short
from repaudit.render.figures._canvas import BOTTOM, LEFT, RIGHT, WIDTH, Box, sheet
from repaudit.render.figures._data import Column, Count, Data, Number, read
from repaudit.render.figures._marks import Look, Shape, key, marks, place_in
from repaudit.render.figures._plane_marks import square
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST_POINTS = 1_000
SIDE = WIDTH - LEFT - RIGHT
TOP = 84.0
SHAPES = (Shape.DOT, Shape.SQUARE, Shape.TRIANGLE)

Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
Three = Annotated[list[Pair], Field(min_length=3, max_length=3)]


class Projection(Data):
    """`templates.projection`."""

    aligned = ("place", "of", "correct")
    images: Count
    classes: Annotated[list[Count], Field(min_length=3, max_length=3, alias="class")]
    name: Annotated[list[str | None], Field(min_length=3, max_length=3)]
    template: Three
    mean: Three
    place: Annotated[list[Pair], Field(max_length=MOST_POINTS)]
    of: Column[Annotated[int, Field(ge=0, le=2)]]
    correct: Column[bool]


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the projection."""
    data = read(Projection, report.figures.get("templates.projection"))
    if data is None:
        return
    names = [short(name or f"class {label}") for name, label in zip(data.name, data.classes, strict=True)]
    shown, wrong = len(data.place), sum(not right for right in data.correct)
    of_all = f"{shown:,} of {data.images:,} images" if shown < data.images else counted(shown, "image")
    share = measured(report, "templates.plane_share", "Share of their variance in this plane")
    nearest = measured(report, "templates.nearest_share", "Nearest to their own mean here")
    told = " ".join(f"{part}." for part in (share, nearest) if part)
    together = f"{names[0]}, {names[1]} and {names[2]}"
    yield Sketch(
        title="Three classes on the plane through their templates",
        caption=f"Features of {of_all} of {together}, projected onto the plane through the three rows of the head; "
        f"{wrong:,} answered wrong (hollow). Diamonds are class means, crosses the rows. {told}".rstrip(),
        alternative=f"Projection of {counted(shown, 'feature')} of {together} onto one plane. {told}".rstrip(),
        paint=partial(paint, data, names),
    )


def paint(data: Projection, names: list[str], inks: Inks) -> Figure:
    """Right answers first, wrong ones hollow on top, then means and templates."""
    figure = sheet(TOP + SIDE + BOTTOM)
    looks = [Look(inks.accents[place], SHAPES[place]) for place in range(3)]
    below = key(figure, inks, 2, list(zip(looks, names, strict=True)))
    template = Look(inks.ink, Shape.CROSS)
    mean = Look(inks.ink, Shape.DIAMOND, hollow=inks.paper)
    key(figure, inks, below, [(mean, "class mean"), (template, "template")])
    places, of, correct = np.array(data.place), np.array(data.of), np.array(data.correct)
    held = np.vstack([places, data.template, data.mean])
    low, high = held.min(axis=0), held.max(axis=0)
    half = 0.55 * (float((high - low).max()) or 1.0)
    ends = [(middle - half, middle + half) for middle in ((low + high) / 2).tolist()]
    axes = square(figure, inks, Box(LEFT, TOP, SIDE, SIDE), ("from the first template", *ends[0]), ("across", *ends[1]))
    for right in (True, False):
        for place in range(3):
            chosen = place_in(axes, *places[(of == place) & (correct == right)].T)
            hollow = None if right else inks.paper
            marks(
                figure, chosen, SHAPES[place], inks.accents[place], size=3.6 if right else 5.5, hollow=hollow, layer=2.6
            )
    for place, (at, row) in enumerate(zip(data.mean, data.template, strict=True)):
        colour = inks.accents[place]
        marks(figure, place_in(axes, [at[0]], [at[1]]), Shape.DIAMOND, inks.ink, size=11, hollow=colour, layer=3.4)
        marks(figure, place_in(axes, [row[0]], [row[1]]), Shape.CROSS, colour, size=11, layer=3.6)
    return figure


plot = Plot(audit="templates", sketches=sketches)
