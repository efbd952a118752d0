"""How the success of the attacks grows with their radius, one drawing a norm."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._attacks import SHOWN, Radius, attacks, short
from repaudit.render.figures._canvas import LEFT, RIGHT, WIDTH, Axis, Box, log_axis, panel, share_axis, sheet, span_axis
from repaudit.render.figures._data import Data, Share, read
from repaudit.render.figures._marks import Look, key, look, marks, place_in, segments, stroke
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._attacks import Attack
    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

WIDER = 4.0
"""From this ratio of the largest to the smallest radius on, the axis is logarithmic."""
APART = 8.0
"""Points between two attacks of one radius."""
SPOKEN = 4
"""Attacks of which the caption speaks."""


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
        told = "; ".join(f"{short(attack.key, 20)} at {attack.threat} {_rate(attack)}" for attack in members[:SPOKEN])
        images = max(attack.success.n for attack in members)
        more = f"; and {len(members) - SPOKEN} more" if len(members) > SPOKEN else ""
        few = f" {len(shown)} of {len(series)} attacks are drawn." if len(shown) < len(series) else ""
        searched = any(entry.searched for entry in shown)
        note = " Hollow: a radius that was searched because the attack's own is saturated." if searched else ""
        yield Sketch(
            title=f"Attack success against radius ({norm})",
            caption=f"Share of up to {counted(images, 'initially correct image')} that each attack breaks, "
            f"with 95 % intervals: {told}{more}.{note}{few}",
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
    stems = [attack.key.removesuffix(_ending(attack)) for attack in members]
    found: dict[str, Series] = {}
    for attack, stem in zip(members, stems, strict=True):
        name = stem if stems.count(stem) > 1 else attack.key
        entry = found.setdefault(name, Series(name))
        entry.measured.append(attack)
        searched = read(Telling, attack.figure(report, "telling"))
        if searched is not None:
            entry.searched.append((searched.epsilon, searched.asr))
    return list(found.values())


def _ending(attack: Attack) -> str:
    """How the key ends where the attack is one of a list of radii, such as `_0p5_255` or `_0p25`."""
    linf = attack.norm == "linf"
    grey = f"{255 * attack.epsilon:.6g}".replace("e-0", "e") if linf else f"{attack.epsilon:.6g}"
    return f"_{grey.replace('.', 'p').replace('-', 'm')}{'_255' if linf else ''}"


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
        _draw(figure, axes, inks, entry, appearance, _beside(shown, place))
    return figure


def _beside(shown: list[Series], place: int) -> dict[float, float]:
    """By radius of a series, how far aside it stands so that others of the same radius are seen, in points."""
    aside = {}
    for radius in shown[place].radii():
        sharing = [number for number, entry in enumerate(shown) if radius in entry.radii()]
        aside[radius] = APART * (sharing.index(place) - (len(sharing) - 1) / 2)
    return aside


def _draw(figure: Figure, axes: Axes, inks: Inks, entry: Series, appearance: Look, aside: dict[float, float]) -> None:
    def placed(points: list[tuple[float, float]]) -> np.ndarray:
        """Where the points of this series stand on the paper."""
        shifts = np.array([[aside[radius], 0.0] for radius, _ in points])
        moved: np.ndarray = place_in(axes, [radius for radius, _ in points], [rate for _, rate in points]) + shifts
        return moved

    rates = placed([(attack.epsilon, attack.success.value) for attack in entry.measured])
    stroke(figure, rates, appearance)
    limits = [(attack.epsilon, attack.success.interval) for attack in entry.measured if attack.success.interval]
    if limits:
        low = placed([(radius, max(0.0, interval.low)) for radius, interval in limits])
        high = placed([(radius, min(1.0, interval.high)) for radius, interval in limits])
        segments(figure, low, high, appearance.colour, 1.6)
    if appearance.shape is not None:
        marks(figure, rates, appearance.shape, appearance.colour, size=7)
        if entry.searched:
            marks(figure, placed(entry.searched), appearance.shape, appearance.colour, size=7, hollow=inks.paper)


def _radii(radii: list[float], norm: str) -> Axis:
    """From 0, or over a logarithm where the radii lie far apart; `linf` in grey levels."""
    scale = 255.0 if norm == "linf" else 1.0
    label = "linf radius, of 255" if norm == "linf" else f"{norm} radius"
    low, high = scale * min(radii), scale * max(radii)
    if high < WIDER * low:
        plain = span_axis(label, [0.0, high], zero=True)
        return Axis(label, 0.0, plain.high / scale, tuple(tick / scale for tick in plain.ticks), plain.texts)
    low, high = low / 1.4, high * 1.4
    digits = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    candidates = [digit * 10.0**power for power in range(-10, 8) for digit in digits]
    if norm == "linf" and high < 1000 * low:
        candidates = [2.0**power for power in range(-30, 9)]
    ticks = [tick / scale for tick in candidates if low <= tick <= high]
    return log_axis(label, low / scale, high / scale, ticks, lambda tick: f"{tick * scale:.3g}")


plot = Plot(audit="robustness", sketches=sketches)
