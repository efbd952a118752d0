"""Whether one step of an attack shrinks features, by how well aligned they are (the mechanism that RS proposes)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import BOTTOM, LEFT, RIGHT, WIDTH, Axis, Box, panel, sheet, span_axis
from repaudit.render.figures._data import Column, Count, Data, Number, Share, read
from repaudit.render.figures._marks import Look, key, look, marks, place_in, segments
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST_BINS = 60
HEIGHT = 330.0
TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SIZES = ("large", "small")


class Band(Data):
    """Mean and interval of each bin, None where it has too few images."""

    aligned = ("mean", "low", "high")
    mean: Column[Number | None]
    low: Column[Number | None]
    high: Column[Number | None]


class Step(Data):
    """One radius."""

    epsilon: Share
    n: Count
    shrink_cosine: Band


class Mechanism(Data):
    """`robustness.mechanism` where the images have cosines."""

    isotropic_share: Share
    edges: Column[Number]
    large: Step | None = None
    small: Step | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One radius over the bins; NaN where a bin has no such number."""

    name: str
    middle: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields one line a radius."""
    data = read(Mechanism, report.figures.get("robustness.mechanism"))
    if data is None or not 2 <= len(data.edges) <= MOST_BINS + 1 or np.any(np.diff(data.edges) <= 0):
        return
    steps = [(size, step) for size, step in zip(SIZES, (data.large, data.small), strict=True) if step is not None]
    lines, told = [], []
    for size, step in steps:
        name = f"FGSM {255 * step.epsilon:.3g}/255"
        line = _line(name, data.edges, step.shrink_cosine)
        if line is not None:
            lines.append(line)
            mean = measured(report, f"robustness.mechanism.shrink_cosine_{size}", "mean cosine")
            told.append(f"{name}: {mean}" if mean else name)
    if not lines:
        return
    images = max(step.n for _, step in steps)
    yield Sketch(
        title="Does one step shrink the feature?",
        caption=f"cos(f_adv − f, −f) of {counted(images, 'initially correct image')} by cosine to the point of minimum "
        "loss; 1 is straight to the origin, 0 sideways. "
        f"{'; '.join(told)}. Between the dotted lines: the mean size that a "
        f"direction at random would have, {data.isotropic_share:.2f}.",
        alternative=f"Mean cos(f_adv − f, −f) with 95 % interval in bins of the cosine to the point of minimum loss. "
        f"{'; '.join(told)}.",
        paint=partial(paint, lines, data.isotropic_share),
    )


def _line(name: str, edges: list[float], band: Band) -> Line | None:
    if len(band.mean) != len(edges) - 1:
        return None
    mean, low, high = (
        np.array([np.nan if value is None else value for value in values])
        for values in (band.mean, band.low, band.high)
    )
    if not np.isfinite(mean).any() or np.nanmax(np.abs(mean)) > 1:
        return None
    middle = (np.array(edges[1:]) + np.array(edges[:-1])) / 2
    return Line(name, middle, mean, low.clip(-1, 1), high.clip(-1, 1))


def paint(lines: list[Line], isotropic: float, inks: Inks) -> Figure:
    """Means with their intervals, side by side."""
    figure = sheet(HEIGHT)
    looks = [look(inks, place) for place in range(len(lines))]
    chance = Look(inks.muted, dashes=(0.0, (1.5, 2.0)), width=1.5)
    key(figure, inks, 2, [*zip(looks, [line.name for line in lines], strict=True), (chance, "random")])
    ends = np.concatenate([line.middle for line in lines]).tolist()
    box = Box(LEFT, 52, WIDTH - LEFT - RIGHT, HEIGHT - 52 - BOTTOM)
    x = span_axis("cosine to the point of minimum loss", ends)
    y = Axis("cos(f_adv − f, −f)", -1.0, 1.0, TICKS, tuple(f"{tick:g}".replace("-", "−") for tick in TICKS))
    axes = panel(figure, inks, box, x, y)
    axes.axhline(0, color=inks.muted, linewidth=1, zorder=1.5)
    for sign in (-1, 1):
        axes.axhline(sign * isotropic, color=chance.colour, linewidth=chance.width, linestyle=chance.dashes, zorder=1.5)
    for place, (line, appearance) in enumerate(zip(lines, looks, strict=True)):
        shift = 5.0 * (place - (len(lines) - 1) / 2) * (x.high - x.low) / box.width
        where = line.middle + shift
        axes.plot(where, line.mean, color=appearance.colour, linewidth=2, linestyle=appearance.dashes, zorder=2.5)
        known, sure = np.isfinite(line.mean), np.isfinite(line.low) & np.isfinite(line.high)
        low, high = (place_in(axes, where[sure], values[sure]) for values in (line.low, line.high))
        segments(figure, low, high, appearance.colour, 1.4)
        if appearance.shape is not None:
            marks(figure, place_in(axes, where[known], line.mean[known]), appearance.shape, appearance.colour)
    return figure


plot = Plot(audit="robustness", sketches=sketches)
