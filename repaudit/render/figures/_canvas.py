"""Paper and axes, measured in points from the upper left corner, 420 wide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.render.figures._style import TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks

WIDTH = 420.0
HEIGHT = 315.0
NARROWEST = 5e-3
"""An axis spans at least this part of its largest value; its numbers would be too long to tell apart."""
POINTS = 72.0
"""An inch has so many, and so many dots an inch make a point a dot."""
LEFT, RIGHT, BOTTOM = 54.0, 22.0, 44.0
"""Margins that hold tick labels and the name of the horizontal axis."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a panel stands."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a panel."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    """One a tick; an axis without texts shows its ticks only."""
    log: bool = False


def sheet(height: float = HEIGHT) -> Figure:
    """Transparent paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / POINTS, height / POINTS), dpi=POINTS)
    figure.patch.set_visible(False)
    return figure


def panel(figure: Figure, inks: Inks, box: Box, x: Axis, y: Axis) -> Axes:
    """Axes with two spines and horizontal lines; the vertical axis is named above it, where it need not be turned."""
    height = figure.get_figheight() * POINTS
    bottom = height - box.top - box.height
    axes = figure.add_axes((box.left / WIDTH, bottom / height, box.width / WIDTH, box.height / height))
    axes.patch.set_visible(False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=inks.muted, linewidth=0.8)
    axes.set_axisbelow(True)
    if x.log:
        axes.set_xscale("log")
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    axes.minorticks_off()
    axes.set_xticks(x.ticks, x.texts if x.texts else [""] * len(x.ticks))
    axes.set_yticks(y.ticks, y.texts if y.texts else [""] * len(y.ticks))
    axes.tick_params(axis="x", length=4, width=0.8, pad=5, color=inks.muted, labelcolor=inks.muted, labelsize=TEXT)
    axes.tick_params(axis="y", length=0, pad=5, labelcolor=inks.muted, labelsize=TEXT)
    axes.grid(axis="y", color=inks.grid, linewidth=1)
    if x.label:
        write(figure, inks.ink, box.left + box.width / 2, box.top + box.height + 39, x.label, align="center")
    if y.label:
        write(figure, inks.ink, 4, box.top - 12, y.label)
    return axes


def write(
    figure: Figure, colour: str, x: float, y: float, text: str, *, align: str = "left", size: float = TEXT
) -> None:
    """Puts text on the paper.

    Args:
        figure: the paper.
        colour: of the text.
        x: points from the left.
        y: points from the top, of the base line.
        text: printable.
        align: which part of the text stands at `x`.
        size: of the text, in points.
    """
    height = figure.get_figheight() * POINTS
    figure.text(x / WIDTH, 1 - y / height, text, color=colour, ha=align, va="baseline", fontsize=size)


def share_axis(label: str, high: float = 1.0, count: int = 4) -> Axis:
    """From 0 to at least `high`, in per cent, with about so many ticks."""
    top = 1.0 if high > 0.6 else high
    ticks = _round_values(0.0, max(top, 0.01), count)
    return Axis(label, 0.0, max(top, ticks[-1]), ticks, _texts(tuple(100 * tick for tick in ticks), " %"))


def span_axis(label: str, values: Sequence[float], *, zero: bool = False, count: int = 5) -> Axis:
    """Around all the values, with a little air.

    Args:
        label: its name.
        values: finite; at least one.
        zero: the axis begins (or ends) at 0.
        count: about so many ticks.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    size = max(abs(low), abs(high))
    air = max(0.05 * (high - low), NARROWEST / 2 * size) if high > low else 0.05 * size or 0.5
    low, high = low - air * (low < 0 or not zero), high + air * (high > 0 or not zero or low == high)
    ticks = tuple(tick for tick in _round_values(low, high, count) if low <= tick <= high)
    return Axis(label, low, high, ticks, _texts(ticks))


def count_axis(label: str, most: float, count: int = 5) -> Axis:
    """From 0 to a whole number that is at least the largest count."""
    ticks = _round_values(0.0, max(most, 1.0), count, whole=True)
    return Axis(label, 0.0, ticks[-1], ticks, _texts(ticks))


def log_axis(label: str, low: float, high: float, ticks: Sequence[float], text: Callable[[float], str]) -> Axis:
    """Logarithmic between two positive ends; of the ticks, those inside."""
    inside = tuple(tick for tick in ticks if low <= tick <= high)
    return Axis(label, low, high, inside, tuple(text(tick) for tick in inside), log=True)


def near_axis(label: str, values: Sequence[float]) -> Axis:
    """Around shares whose course matters more than their size: in per cent, within 0 and 1, at least 2 % of them."""
    low, high = min(values), max(values)
    air = max(0.05 * (high - low), 0.01 - (high - low) / 2)
    low, high = max(0.0, low - air), min(1.0, high + air)
    ticks = tuple(tick for tick in _round_values(low, high, 4) if low <= tick <= high)
    return Axis(label, low, high, ticks, _texts(tuple(100 * tick for tick in ticks), " %"))


def _round_values(low: float, high: float, count: int, *, whole: bool = False) -> tuple[float, ...]:
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10], integer=whole)
    return tuple(float(tick) for tick in locator.tick_values(low, high))


def _texts(ticks: tuple[float, ...], unit: str = "") -> tuple[str, ...]:
    """As many decimals as the steps need; powers of ten where that would be long."""
    most = max(abs(tick) for tick in ticks) if ticks else 0.0
    if len(ticks) < 2 or not 1e-3 <= most < 1e5:
        return tuple(f"{_brief(tick)}{unit}" for tick in ticks)
    step = ticks[1] - ticks[0]
    decimals = next((places for places in range(6) if math.isclose(round(step, places), step, rel_tol=1e-6)), 6)
    return tuple(f"{0.0 if abs(tick) < step / 2 else tick:,.{decimals}f}{unit}".replace("-", "−") for tick in ticks)


def _brief(value: float) -> str:
    """`2.5e-6`, `0.5`, `1e9`."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}".replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
