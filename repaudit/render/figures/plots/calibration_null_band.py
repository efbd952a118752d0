"""Whether an ECE is more than chance: what a perfectly calibrated model would show on as many images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import RIGHT, WIDTH, Axis, Box, panel, sheet, span_axis
from repaudit.render.figures._data import Column, Count, Data, Share, read
from repaudit.render.figures._marks import SOLID, Look, Shape, key, marks, place_in
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted
from repaudit.render.plain import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

HEIGHT = 148.0
MARGIN = 16.0
LIMIT = 0.95
"""Level of the quantile above which the audit takes an ECE for more than chance; the outer bar ends there."""
LOWER, MEDIAN, UPPER = 0.25, 0.5, 0.75
"""Levels of the inner bar."""


class NullBand(Data):
    """`calibration.null_band`: quantiles of the ECE of a perfectly calibrated model."""

    aligned = ("level", "quantile")
    level: Column[Share]
    quantile: Column[Share]
    observed: Share
    p_value: Share
    images: Count

    def at(self, level: float) -> float:
        """The quantile at one of the levels."""
        return self.quantile[self.level.index(level)]


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the band with the observed ECE."""
    data = read(NullBand, report.figures.get("calibration.null_band"))
    if data is None or not {LOWER, MEDIAN, UPPER, LIMIT} <= set(data.level):
        return
    if np.any(np.diff(data.level) <= 0) or np.any(np.diff(data.quantile) < 0):
        return
    limit = data.at(LIMIT)
    told = (
        f"ECE {number(data.observed)} {'exceeds' if data.observed > limit else 'does not exceed'} {number(limit)}, "
        f"below which the ECE of a perfectly calibrated model falls in 95 % of draws of "
        f"{counted(data.images, 'image')} (p = {number(data.p_value)})"
    )
    yield Sketch(title="ECE against chance", caption=f"{told}.", alternative=f"{told}.", paint=partial(paint, data))


def paint(data: NullBand, inks: Inks) -> Figure:
    """Two bars one over the other, the outer from 0, a line at the median, a diamond for what was observed."""
    figure = sheet(HEIGHT)
    band, half, seen = inks.muted, inks.accents[0], inks.accents[1]
    entries = [
        (Look(seen, shape=Shape.DIAMOND), "observed"),
        (Look(band, box=True, width=1.2), "95 % by chance"),
        (Look(half, dashes=SOLID, width=8), "middle 50 %"),
    ]
    key(figure, inks, 2, entries)
    x = span_axis("ECE", [*data.quantile, data.observed], zero=True)
    y = Axis("", 0.0, 1.0, (), ())
    axes = panel(figure, inks, Box(MARGIN, 34, WIDTH - MARGIN - RIGHT, HEIGHT - 78), x, y)
    axes.spines["left"].set_visible(False)
    axes.barh(0.5, data.at(LIMIT), 0.62, facecolor=inks.grid, edgecolor=band, linewidth=1.2, zorder=2)
    low, high = data.at(LOWER), data.at(UPPER)
    axes.barh(0.5, high - low, 0.4, low, color=half, linewidth=0, zorder=2.1)
    axes.plot([data.at(MEDIAN)] * 2, [0.3, 0.7], color=inks.paper, linewidth=2, zorder=2.2)
    marks(figure, place_in(axes, [data.observed], [0.5]), Shape.DIAMOND, inks.paper, size=16, layer=3)
    marks(figure, place_in(axes, [data.observed], [0.5]), Shape.DIAMOND, seen, size=11, layer=3.2)
    return figure


plot = Plot(audit="calibration", sketches=sketches)
