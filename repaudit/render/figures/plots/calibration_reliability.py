"""Accuracy against confidence, bin by bin (RS, Fig. 3 right)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.metrics.intervals import wilson
from repaudit.render.figures._canvas import LEFT, RIGHT, WIDTH, Axis, Box, panel, share_axis, sheet
from repaudit.render.figures._data import Column, Count, Data, Share, read
from repaudit.render.figures._marks import SOLID, Look, key, place_in, segments
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, measured, percent
from repaudit.render.plain import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

HEIGHT = 368.0
MOST_BINS = 100
"""More could not be told apart."""
INSET = 0.7
"""Width of a frame in widths of its bar."""
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Reliability(Data):
    """`calibration.reliability`: per bin its count, mean confidence and accuracy, None where it is empty."""

    aligned = ("count", "confidence", "accuracy")
    edges_of = "edge"
    edge: Column[Share]
    count: Column[Count]
    confidence: Column[Share | None]
    accuracy: Column[Share | None]

    def occupied(self) -> list[tuple[float, float, int, float, float]]:
        """Left and right edge, count, mean confidence and accuracy of the bins with images."""
        rows = zip(self.edge, self.edge[1:], self.count, self.confidence, self.accuracy, strict=False)
        return [
            (left, right, count, confidence, accuracy)
            for left, right, count, confidence, accuracy in rows
            if count and confidence is not None and accuracy is not None
        ]


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the diagram of the whole evaluation set."""
    data = read(Reliability, report.figures.get("calibration.reliability"))
    if data is None or not data.occupied() or len(data.count) > MOST_BINS:
        return
    rows = data.occupied()
    images = sum(count for _, _, count, _, _ in rows)
    left, right, most, _, _ = max(rows, key=lambda row: row[2])
    widest = max(rows, key=lambda row: row[2] * abs(row[3] - row[4]))
    ece, metric = measured(report, "calibration.ece", "ECE"), report.metrics.get("calibration.ece")
    told = "" if metric is None else f"{ece}{f', {safe(metric.note)}' if metric.note else ''}; "
    yield Sketch(
        title="Reliability diagram",
        caption=f"{told}{percent(most / images)} of the {counted(images, 'image')} lie in the bin of confidence "
        f"{left:.2f} to {right:.2f}. A bar's opacity is its share of the images.",
        alternative=f"Accuracy in each of {len(data.count)} bins of confidence, beside the mean confidence there. "
        f"The bin that adds most to the error, {widest[0]:.2f} to {widest[1]:.2f}, holds {counted(widest[2], 'image')} "
        f"with mean confidence {widest[3]:.3f} and accuracy {widest[4]:.3f}.",
        paint=partial(paint, data),
    )


def paint(data: Reliability, inks: Inks) -> Figure:
    """Bars of accuracy over bars of the share of images; both begin at 0."""
    figure = sheet(HEIGHT)
    wide = WIDTH - LEFT - RIGHT
    ticks = tuple(f"{tick:g}" for tick in TICKS)
    bar, gap, interval = inks.accents[0], inks.accents[1], inks.ink
    key(
        figure,
        inks,
        2,
        [
            (Look(bar, box=True, width=1.2), "accuracy"),
            (Look(interval, dashes=SOLID, upright=True, width=1.2), "95 % interval"),
            (Look(gap, dashes=SOLID, width=3), "mean confidence"),
        ],
    )
    confidence = Axis("", 0.0, 1.0, TICKS, ())
    upper = panel(figure, inks, Box(LEFT, 52, wide, 190), confidence, Axis("accuracy", 0.0, 1.0, TICKS, ticks))
    _bars(figure, upper, inks, data)
    rows = data.occupied()
    shares = np.array([row[2] for row in rows]) / sum(row[2] for row in rows)
    below, share_of = Axis("confidence", 0.0, 1.0, TICKS, ticks), share_axis("share of images", float(shares.max()), 2)
    lower = panel(figure, inks, Box(LEFT, 274, wide, 48), below, share_of)
    for (left, right, *_), share in zip(rows, shares, strict=True):
        lower.bar(left, share, right - left, align="edge", color=bar, edgecolor=inks.paper, linewidth=0.5)
    return figure


def _bars(figure: Figure, axes: Axes, inks: Inks, data: Reliability) -> None:
    """Bars of accuracy as opaque as their share, their intervals, and frames that reach to the mean confidence."""
    rows = data.occupied()
    images = sum(row[2] for row in rows)
    bar, gap = inks.accents[0], inks.accents[1]
    axes.plot([0, 1], [0, 1], color=inks.muted, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1.5)
    for start, end, n, _, hit in rows:
        axes.bar(start, hit, end - start, align="edge", color=bar, alpha=n / images, linewidth=0, zorder=2)
        axes.bar(start, hit, end - start, align="edge", facecolor="none", edgecolor=bar, linewidth=1.2, zorder=2.2)
    left, right, _, confidence, accuracy = (np.array(column) for column in zip(*rows, strict=True))
    middle, reach = (left + right) / 2, INSET * (right - left) / 2
    limits = [wilson(round(hit * n), n) for _, _, n, _, hit in rows]
    low, high = (place_in(axes, middle, [getattr(limit, end) for limit in limits]) for end in ("low", "high"))
    segments(figure, low, high, inks.ink, 1.2)
    for side in (middle - reach, middle + reach):
        segments(figure, place_in(axes, side, accuracy), place_in(axes, side, confidence), gap, 1.0)
    ends = [place_in(axes, side, confidence) for side in (middle - reach, middle + reach)]
    segments(figure, ends[0], ends[1], gap, 3.0)


plot = Plot(audit="calibration", sketches=sketches)
