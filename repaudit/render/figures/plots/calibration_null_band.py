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
BANDS = ((0.025, 0.975), (0.25, 0.75))
"""Levels between which the outer and the inner bar reach."""


class NullBand(Data):
    """`calibration.null_band`: quantiles of the ECE of a perfectly calibrated model."""

    aligned = ("level", "quantile")
    level: Column[Share]
    quantile: Column[Share]
    observed: Share
    p_value: Share
    images: Count

    def at(self, level: float) -> float:
        """The quantile at a level, between the kept ones."""
        return float(np.interp(level, self.level, self.quantile))


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the band with the observed ECE."""
    data = read(NullBand, report.figures.get("calibration.null_band"))
    if data is None or len(data.level) < 2 or np.any(np.diff(data.level) <= 0) or np.any(np.diff(data.quantile) < 0):
        return
    low, high = (data.at(level) for level in BANDS[0])
    place = "above" if data.observed > high else "below" if data.observed < low else "within"
    told = (
        f"ECE {number(data.observed)} lies {place} the band from {number(low)} to {number(high)} in which the ECE of a "
        f"perfectly calibrated model falls in 95 % of draws of {counted(data.images, 'image')} "
        f"(p = {number(data.p_value)})"
    )
    yield Sketch(title="ECE against chance", caption=f"{told}.", alternative=f"{told}.", paint=partial(paint, data))


def paint(data: NullBand, inks: Inks) -> Figure:
    """Two bars one over the other, a line at the median, a diamond for what was observed."""
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
    low, high = (data.at(level) for level in BANDS[0])
    axes.barh(0.5, high - low, 0.62, low, facecolor=inks.grid, edgecolor=band, linewidth=1.2, zorder=2)
    low, high = (data.at(level) for level in BANDS[1])
    axes.barh(0.5, high - low, 0.4, low, color=half, linewidth=0, zorder=2.1)
    axes.plot([data.at(0.5)] * 2, [0.3, 0.7], color=inks.paper, linewidth=2, zorder=2.2)
    marks(figure, place_in(axes, [data.observed], [0.5]), Shape.DIAMOND, inks.paper, size=16, layer=3)
    marks(figure, place_in(axes, [data.observed], [0.5]), Shape.DIAMOND, seen, size=11, layer=3.2)
    return figure


plot = Plot(audit="calibration", sketches=sketches)
