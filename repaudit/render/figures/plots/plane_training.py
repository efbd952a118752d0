"""The plane of the features over training (RS, Fig. 12)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, model_validator

from repaudit.render.figures._canvas import WIDTH, Box, sheet, write
from repaudit.render.figures._data import Column, Count, Data, Number, read
from repaudit.render.figures._marks import Look, Shape, key, place_in
from repaudit.render.figures._plane import Frame, Plane, colours, frame_of, read_plane, regions, winners
from repaudit.render.figures._plane_marks import cloud, region_names, shade, square
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST = 6
COLUMNS = 2
LEFT, TOP = 48.0, 48.0
SIDE, ACROSS, DOWN = 157.0, 54.0, 52.0
"""Of one panel, and between two."""

Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]


class _Moment(Data):
    """Head and features after some epochs."""

    epoch: Count
    weight: Annotated[list[Pair], Field(min_length=2, max_length=1000)]
    bias: Column[Number]
    feature: Annotated[list[Pair], Field(min_length=1, max_length=1000)]


class _Training(Data):
    """`plane.training`."""

    label: Column[Count]
    snapshots: Annotated[list[_Moment], Field(min_length=1, max_length=MOST)]
    taken: Count

    @model_validator(mode="after")
    def _fit(self) -> _Training:
        classes = {len(moment.weight) for moment in self.snapshots} | {len(moment.bias) for moment in self.snapshots}
        rows = {len(moment.feature) for moment in self.snapshots} | {len(self.label)}
        if len(classes) > 1 or len(rows) > 1 or max(self.label) >= classes.pop():
            raise ValueError("snapshots of different sizes")
        return self


@dataclass(frozen=True, slots=True)
class _View:
    """One panel."""

    epoch: int
    plane: Plane
    frame: Frame


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the plane at up to six moments, each in a frame of its own."""
    data, now = read(_Training, report.figures.get("plane.training")), read_plane(report)
    if data is None or now is None or len(data.snapshots[0].weight) != len(now.weight):
        return
    if now.features.shape[1] != 2:
        return
    views = [_view(moment, data.label, now) for moment in data.snapshots]
    told = [f"{percent(float(view.plane.correct.mean()))} right after {view.epoch:,}" for view in views]
    yield Sketch(
        title="The plane of the features over training",
        caption=f"{len(views)} of {data.taken:,} snapshots, with the same {len(data.label):,} test images: "
        f"{'; '.join(told)} epochs. Each panel has a frame of its own.",
        alternative=f"{len(views)} panels with decision regions and features: {'; '.join(told)} epochs.",
        paint=partial(paint, views),
    )


def _view(moment: _Moment, labels: list[int], now: Plane) -> _View:
    weight, bias = np.array(moment.weight, dtype=np.float64), np.array(moment.bias, dtype=np.float64)
    features, own = np.array(moment.feature, dtype=np.float64), np.array(labels)
    nothing = np.full_like(weight, np.nan)
    plane = replace(
        now,
        features=features,
        labels=own,
        correct=(features @ weight.T + bias).argmax(axis=1) == own,
        weight=weight,
        bias=bias,
        means=nothing,
        minima=nothing,
    )
    # weight vectors are not drawn here, so they need no room
    return _View(moment.epoch, plane, frame_of(replace(plane, weight=np.zeros_like(weight))))


def paint(views: list[_View], inks: Inks) -> Figure:
    """Panels in rows, in the order of time."""
    rows = -(-len(views) // COLUMNS)
    figure = sheet(TOP + rows * (SIDE + DOWN) - 20)
    key(figure, inks, 2, [(Look(inks.muted, Shape.DOT), "right"), (Look(inks.muted, Shape.CROSS), "wrong")])
    last = views[-1]
    colour_of = colours(last.plane, winners(last.plane, last.frame))
    for number, view in enumerate(views):
        left = LEFT + number % COLUMNS * (SIDE + ACROSS)
        box = Box(left, TOP + number // COLUMNS * (SIDE + DOWN), SIDE, SIDE)
        ends = [("", view.frame.low[place], view.frame.high[place]) for place in range(2)]
        axes = square(figure, inks, box, ends[0], ends[1])
        epochs = "before the first epoch" if view.epoch == 0 else f"after epoch {view.epoch:,}"
        write(figure, inks.ink, min(left + SIDE / 2, WIDTH - SIDE / 2), box.top - 8, epochs, align="center")
        parts = regions(view.plane, view.frame, winners(view.plane, view.frame))
        shade(axes, inks, parts, colour_of, filled=True)
        places = place_in(axes, *view.plane.features.T)
        cloud(figure, inks, places, view.plane, colour_of, size=2.6)
        region_names(figure, inks, axes, view.plane, parts, places)
    return figure


plot = Plot(audit="plane", sketches=sketches)
