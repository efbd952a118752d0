"""How well aligned features are, and how often the aligned ones are broken (RS, Fig. 3 middle)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.metrics.intervals import wilson
from repaudit.render.figures._attacks import SHOWN, attacks, short, telling
from repaudit.render.figures._canvas import (
    BOTTOM,
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    Box,
    count_axis,
    panel,
    share_axis,
    sheet,
    span_axis,
)
from repaudit.render.figures._data import Column, Cosine, Count, Data, Number, Share, read
from repaudit.render.figures._marks import Look, end_labels, look, marks, place_in, segments
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.metrics.intervals import Interval
    from repaudit.render.figures._attacks import Attack
    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

FEW = 10
"""Images of a bin below which its rate says little."""
SPOKEN = 2
"""Attacks of which the caption speaks."""
INTERVALS = 3
"""With more lines than this, their intervals would hide one another."""
CENTERS = {"minimum_loss": "point of minimum loss", "class_mean": "class mean"}


class Histogram(Data):
    """`geometry.cosine_histogram` of one kind of centre."""

    aligned = ("count",)
    edges_of = "edges"
    edges: Column[Cosine]
    count: Column[Count]


class ByCosine(Data):
    """`robustness.<attack>.by_cosine`: success in bins of the cosine, None where a bin is empty."""

    aligned = ("count", "success")
    edges_of = "edges"
    edges: Column[Number]
    count: Column[Count]
    success: Column[Share | None]
    saturated: bool = False


class Telling(Data):
    """`robustness.<attack>.telling`: the same at a radius where the attack tells images apart."""

    epsilon: Number
    by_cosine: ByCosine | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Success of one attack."""

    name: tuple[str, ...]
    """Its lines beside the drawing; foreign."""
    data: ByCosine

    def told(self) -> str:
        """The name as a caption says it."""
        return " ".join(short(part, 20) for part in self.name)

    @property
    def middle(self) -> np.ndarray:
        """(bins,) cosines."""
        edges = np.array(self.data.edges)
        middle: np.ndarray = (edges[1:] + edges[:-1]) / 2
        return middle


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the histogram, with the success of the attacks above it where any was measured."""
    lines = _lines(report)
    center, bars = _histogram(report, need="minimum_loss" if lines else None)
    if bars is None and lines:
        widest = max(lines, key=lambda line: sum(line.data.count)).data
        center, bars = "minimum_loss", Histogram(edges=widest.edges, count=widest.count)
    if bars is None:
        return
    edges = np.array(bars.edges)
    average = float(np.average((edges[1:] + edges[:-1]) / 2, weights=bars.count))
    caption = (
        f"{counted(sum(bars.count), 'initially correct image')} by the cosine of their feature to the "
        f"{CENTERS[center]}, about {average:.2f} on average"
    )
    trends = [f"{line.told()} breaks {_trend(line)}" for line in lines]
    if lines:
        spoken = "; ".join(trends[:SPOKEN]) + (f"; and {len(lines) - SPOKEN} more" if len(lines) > SPOKEN else "")
        caption += f". Above, the share that an attack breaks in each bin: {spoken}. Hollow: fewer than {FEW} images"
        caption += "; lines: 95 % Wilson intervals" if len(lines) <= INTERVALS else ""
    yield Sketch(
        title="Cosine to the class centre and attack success" if lines else "Cosine to the class centre",
        caption=f"{caption}.",
        alternative=f"Histogram of {sum(bars.count):,} cosines to the {CENTERS[center]}, about {average:.2f} on "
        "average." + (f" Attack success by cosine: {'; '.join(trends)}." if lines else ""),
        paint=partial(paint, bars, lines, CENTERS[center]),
    )


def _lines(report: Report) -> list[Line]:
    """One an attack; where it breaks nearly all or nothing, at the radius where it tells images apart."""
    found: list[tuple[Attack, Line]] = []
    for attack in attacks(report):
        data, name = read(ByCosine, attack.figure(report, "by_cosine")), (attack.key, attack.threat)
        searched = read(Telling, attack.figure(report, "telling"))
        if data is not None and data.saturated and searched is not None and searched.by_cosine is not None:
            grey = f"{attack.norm} {255 * searched.epsilon:.3g}/255"
            words = grey if attack.norm == "linf" else f"{attack.norm} {searched.epsilon:.3g}"
            data, name = searched.by_cosine, (name[0], words)
        if data is not None and any(share is not None for share in data.success):
            found.append((attack, Line(tuple(part for part in name if part), data)))
    chosen = telling([attack for attack, _ in found], SHOWN)
    return [line for attack, line in found if attack in chosen]


def _histogram(report: Report, need: str | None) -> tuple[str, Histogram | None]:
    figure = report.figures.get("geometry.cosine_histogram", {})
    for center in CENTERS if need is None else (need,):
        bars = read(Histogram, {"edges": figure.get("edges"), "count": figure.get(center)})
        if bars is not None and any(bars.count):
            return center, bars
    return "", None


def _trend(line: Line) -> str:
    """Success in the lower and in the upper bins, divided at the edge nearest to half of the images."""
    counts = np.array(line.data.count, dtype=np.float64)
    hits = counts * np.array([share or 0.0 for share in line.data.success])
    low = int(np.argmin(np.abs(np.cumsum(counts)[:-1] - counts.sum() / 2))) + 1 if len(counts) > 1 else 0
    below, above = counts[:low].sum(), counts[low:].sum()
    if not below or not above:
        return percent(float(hits.sum() / max(counts.sum(), 1.0)))
    first, second = percent(float(hits[:low].sum() / below)), percent(float(hits[low:].sum() / above))
    share = percent(float(below / counts.sum()))
    return f"{first} of the least aligned images ({share} of all) and {second} of the others"


def paint(bars: Histogram, lines: list[Line], words: str, inks: Inks) -> Figure:
    """Rates above counts, over one axis; both begin at 0."""
    height = 366.0 if lines else 250.0
    figure = sheet(height)
    occupied = np.flatnonzero(bars.count)
    ends = [bars.edges[int(occupied[0])], bars.edges[int(occupied[-1]) + 1]]
    ends += [edge for line in lines for edge in (line.data.edges[0], line.data.edges[-1])]
    margin = 118.0 if lines else RIGHT
    x = span_axis(f"cosine to the {words}", ends)
    top = 242.0 if lines else 26.0
    counts = count_axis("images", float(max(bars.count)), 3)
    lower = panel(figure, inks, Box(LEFT, top, WIDTH - LEFT - margin, height - top - BOTTOM), x, counts)
    edges = np.array(bars.edges)
    lower.bar(edges[:-1], bars.count, np.diff(edges), align="edge", color=inks.muted, edgecolor=inks.paper, linewidth=1)
    if lines:
        _rates(figure, inks, Box(LEFT, 26, WIDTH - LEFT - margin, 184), lines, ends)
    return figure


def _rates(figure: Figure, inks: Inks, box: Box, lines: list[Line], ends: list[float]) -> None:
    x = span_axis("", ends)
    bare = Axis("", x.low, x.high, x.ticks, ())
    highest = max(share for line in lines for share in line.data.success if share is not None)
    if len(lines) <= INTERVALS:
        highest = max([highest, *(limit.high for line in lines for _, limit in _limits(line, line.middle))])
    axes = panel(figure, inks, box, bare, share_axis("broken by the attack", highest))
    names = []
    for place, line in enumerate(lines):
        appearance = look(inks, place)
        aside = 4.0 * (place - (len(lines) - 1) / 2) * (x.high - x.low) / box.width
        rates = np.array([np.nan if share is None else share for share in line.data.success])
        _line(figure, axes, inks, line, appearance, line.middle + aside)
        if len(lines) <= INTERVALS:
            _intervals(figure, axes, line, appearance, line.middle + aside)
        names.append((appearance, float(rates[np.isfinite(rates)][-1]), line.name))
    end_labels(figure, inks, axes, names, box.left + box.width + 8)


def _line(figure: Figure, axes: Axes, inks: Inks, line: Line, appearance: Look, where: np.ndarray) -> None:
    counts = np.array(line.data.count)
    rates = np.array([np.nan if share is None else share for share in line.data.success])
    axes.plot(where, rates, color=appearance.colour, linewidth=2, linestyle=appearance.dashes, zorder=2.5)
    points, known = place_in(axes, where, rates), np.isfinite(rates)
    if appearance.shape is not None:
        marks(figure, points[known & (counts >= FEW)], appearance.shape, appearance.colour)
        marks(figure, points[known & (counts < FEW)], appearance.shape, appearance.colour, hollow=inks.paper)


def _intervals(figure: Figure, axes: Axes, line: Line, appearance: Look, where: np.ndarray) -> None:
    shown = _limits(line, where)
    if shown:
        places = [x for x, _ in shown]
        low, high = (place_in(axes, places, [getattr(limit, end) for _, limit in shown]) for end in ("low", "high"))
        segments(figure, low, high, appearance.colour, 1.0)


def _limits(line: Line, where: np.ndarray) -> list[tuple[float, Interval]]:
    """Place and interval of the bins that have enough images."""
    return [
        (float(x), wilson(round(share * count), count))
        for x, share, count in zip(where, line.data.success, line.data.count, strict=True)
        if share is not None and count >= FEW
    ]


plot = Plot(audit="geometry", sketches=sketches)
