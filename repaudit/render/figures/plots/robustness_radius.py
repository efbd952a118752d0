"""How the success of the attacks grows with their radius, one drawing a norm."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._attacks import SHOWN, Radius, attacks, short
from repaudit.render.figures._canvas import LEFT, RIGHT, WIDTH, Axis, Box, log_axis, panel, share_axis, sheet, span_axis
from repaudit.render.figures._data import Data, Share, read
from repaudit.render.figures._marks import Look, key, look, marks, place_in, segments
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._attacks import Attack
    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

WIDER = 4.0
"""From this ratio of the largest to the smallest radius on, the axis is logarithmic."""
SERIES = re.compile(r"_[0-9][0-9pe]*(m[0-9]+)?(_255)?$")
"""How the key of an attack over a list of radii ends."""
DECADES = (1.0, 2.0, 5.0)


class Telling(Data):
    """`robustness.<attack>.telling`: where a search for a telling radius ended."""

    epsilon: Radius
    asr: Share


@dataclass(slots=True)
class Series:
    """One attack at its radii."""

    name: str
    measured: list[Attack] = field(default_factory=list)
    searched: list[tuple[float, float]] = field(default_factory=list)
    """Radius and success on fewer images."""

    def radii(self) -> list[float]:
        """All its radii."""
        return [attack.epsilon for attack in self.measured] + [epsilon for epsilon, _ in self.searched]


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields one drawing a norm."""
    found = attacks(report)
    for norm in sorted({attack.norm for attack in found}):
        members = [attack for attack in found if attack.norm == norm]
        series = _series(report, members)
        shown = sorted(series, key=lambda entry: -len(entry.radii()))[:SHOWN]
        shown = [entry for entry in series if entry in shown]
        told = "; ".join(f"{short(attack.key, 20)} at {attack.threat} {_rate(attack)}" for attack in members[:8])
        images = max(attack.success.n for attack in members)
        more = f" and {len(members) - 8} more" if len(members) > 8 else ""
        few = f" {len(shown)} of {len(series)} attacks are drawn." if len(shown) < len(series) else ""
        searched = any(entry.searched for entry in shown)
        note = " Hollow: a radius that was searched because the attack's own is saturated." if searched else ""
        yield Sketch(
            title=f"Attack success against radius ({norm})",
            caption=f"Share of up to {images:,} initially correct images that each attack breaks, with 95 % intervals: "
            f"{told}{more}.{note}{few}",
            alternative=f"Attack success against the {norm} radius: {told}{more}.",
            paint=partial(paint, shown, norm),
            part=norm,
        )


def _rate(attack: Attack) -> str:
    interval = attack.success.interval
    reach = "" if interval is None else f" ({percent(interval.low)} – {percent(interval.high)})"
    return f"{percent(attack.success.value)}{reach}"


def _series(report: Report, members: list[Attack]) -> list[Series]:
    """Attacks of one list of radii together, every other alone."""
    stems = [SERIES.sub("", attack.key) for attack in members]
    found: dict[str, Series] = {}
    for attack, stem in zip(members, stems, strict=True):
        name = stem if stems.count(stem) > 1 else attack.key
        entry = found.setdefault(name, Series(name))
        entry.measured.append(attack)
        searched = read(Telling, attack.figure(report, "telling"))
        if searched is not None:
            entry.searched.append((searched.epsilon, searched.asr))
    return list(found.values())


def paint(shown: list[Series], norm: str, inks: Inks) -> Figure:
    """A line a series; attacks of one radius stand side by side."""
    looks = [look(inks, place) for place in range(len(shown))]
    names = [short(entry.name, 15) for entry in shown]
    rows = 1 + sum(len(name) + 5 for name in names) // 46
    top = 34.0 + 20 * rows
    figure = sheet(top + 200 + 44)
    key(figure, inks, 2, list(zip(looks, names, strict=True)))
    box = Box(LEFT, top, WIDTH - LEFT - RIGHT, 200)
    x = _radii([radius for entry in shown for radius in entry.radii()], norm)
    highest = max(
        [
            attack.success.interval.high if attack.success.interval else attack.success.value
            for entry in shown
            for attack in entry.measured
        ]
        + [rate for entry in shown for _, rate in entry.searched]
    )
    axes = panel(figure, inks, box, x, share_axis("broken by the attack", min(1.0, highest)))
    for place, (entry, appearance) in enumerate(zip(shown, looks, strict=True)):
        _draw(figure, axes, inks, entry, appearance, 7.0 * (place - (len(shown) - 1) / 2))
    return figure


def _draw(figure: Figure, axes: Axes, inks: Inks, entry: Series, appearance: Look, shift: float) -> None:
    from matplotlib.transforms import ScaledTranslation

    aside = ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
    epsilon = [attack.epsilon for attack in entry.measured]
    rates = [attack.success.value for attack in entry.measured]
    line = axes.plot(epsilon, rates, color=appearance.colour, linewidth=2, linestyle=appearance.dashes, zorder=2.5)
    line[0].set_transform(axes.transData + aside)
    offset = np.array([[shift, 0.0]])
    limits = [(attack.epsilon, attack.success.interval) for attack in entry.measured if attack.success.interval]
    if limits:
        where = [radius for radius, _ in limits]
        low = place_in(axes, where, [max(0.0, interval.low) for _, interval in limits])
        high = place_in(axes, where, [min(1.0, interval.high) for _, interval in limits])
        segments(figure, low + offset, high + offset, appearance.colour, 1.6)
    if appearance.shape is not None:
        marks(figure, place_in(axes, epsilon, rates) + offset, appearance.shape, appearance.colour, size=7)
        if entry.searched:
            spots = place_in(axes, *zip(*entry.searched, strict=True)) + offset
            marks(figure, spots, appearance.shape, appearance.colour, size=7, hollow=inks.paper)


def _radii(radii: list[float], norm: str) -> Axis:
    """From 0, or over a logarithm where the radii lie far apart; `linf` in grey levels."""
    scale = 255.0 if norm == "linf" else 1.0
    label = "linf radius, of 255" if norm == "linf" else f"{norm} radius"
    low, high = scale * min(radii), scale * max(radii)
    if high < WIDER * low:
        plain = span_axis(label, [0.0, high], zero=True)
        return Axis(label, 0.0, plain.high / scale, tuple(tick / scale for tick in plain.ticks), plain.texts)
    candidates = (
        [2.0**power for power in range(-10, 9)]
        if norm == "linf"
        else [digit * 10.0**power for power in range(-9, 7) for digit in DECADES]
    )
    inside = [tick for tick in candidates if low / 1.3 <= tick <= high * 1.3]
    inside = inside[:: 1 + len(inside) // 8]
    return log_axis(
        label,
        low / 1.4 / scale,
        high * 1.4 / scale,
        [tick / scale for tick in inside],
        lambda tick: f"{tick * scale:.3g}",
    )


plot = Plot(audit="robustness", sketches=sketches)
