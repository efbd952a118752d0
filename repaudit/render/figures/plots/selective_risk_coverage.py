"""How often it errs on the images it is surest of."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, Box, panel, share_axis, sheet
from repaudit.render.figures._data import Column, Count, Data, Share, read
from repaudit.render.figures._marks import SOLID, Look, Shape, key, marks, place_in
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, measured, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST_POINTS = 1_000
SPOKEN = 0.8
"""The coverage of which the caption speaks."""
DECIMALS = range(3, 7)
"""Of a confidence in the caption."""


class RiskCoverage(Data):
    """`selective.risk_coverage`: error rate among the most confident share of the images."""

    aligned = ("coverage", "risk", "threshold")
    coverage: Column[Share]
    risk: Column[Share]
    threshold: Column[Share]
    images: Count


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the curve, and the best that any order of these images could do."""
    data = read(RiskCoverage, report.figures.get("selective.risk_coverage"))
    if data is None or len(data.risk) > MOST_POINTS or np.any(np.diff(data.coverage) <= 0) or data.coverage[0] <= 0:
        return
    place = int(np.argmin(np.abs(np.array(data.coverage) - SPOKEN)))
    area = measured(report, "selective.aurc", "area under the curve")
    told = (
        f"On the most confident {percent(data.coverage[place])} of the {counted(data.images, 'image')}"
        f"{_least(data, place)} it errs {percent(data.risk[place])} of the time, on all {percent(data.risk[-1])}"
    )
    if place + 1 < len(data.threshold) and data.threshold[place + 1] == data.threshold[place]:
        told += "; more images are equally confident as the last of them, and share their errors evenly"
    yield Sketch(
        title="Risk and coverage",
        caption=f"{told}{f'; {area}' if area else ''}.",
        alternative=f"Error rate against the share of images kept, the most confident first. {told}.",
        paint=partial(paint, data),
    )


def _least(data: RiskCoverage, place: int) -> str:
    """The confidence that the images up to `place` have, rounded down; nothing where the next have it too."""
    following = data.threshold[place + 1] if place + 1 < len(data.threshold) else 0.0
    for decimals in DECIMALS:
        rounded = Decimal(str(data.threshold[place])).quantize(Decimal(1).scaleb(-decimals), ROUND_FLOOR)
        if rounded > Decimal(str(following)):
            return f", each with confidence of at least {rounded},"
    return ""


def paint(data: RiskCoverage, inks: Inks) -> Figure:
    """The curve over the order by truth, which keeps the errors for the end."""
    figure = sheet()
    own = Look(inks.accents[0], dashes=SOLID)
    best = Look(inks.muted, dashes=(0.0, (4.0, 3.0)), width=1.5)
    key(figure, inks, 2, [(own, "by confidence"), (best, "best possible order")])
    y = share_axis("error rate", max(data.risk))
    x = share_axis("share of images kept, most confident first")
    axes = panel(figure, inks, Box(LEFT, 52, WIDTH - LEFT - RIGHT, HEIGHT - 52 - BOTTOM), x, y)
    coverage = np.array(data.coverage)
    # a single image has one point, which no line shows
    axes.plot(coverage, data.risk, color=own.colour, linewidth=own.width, zorder=3)
    marks(figure, place_in(axes, coverage[-1:], data.risk[-1:]), Shape.DOT, own.colour)
    right = 1 - data.risk[-1]
    fine = np.linspace(1e-3, 1, 201)
    axes.plot(fine, np.maximum(0, fine - right) / fine, color=best.colour, linewidth=best.width, linestyle=best.dashes)
    return figure


plot = Plot(audit="selective", sketches=sketches)
