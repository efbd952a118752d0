"""How features move while an attack runs (RS, Fig. 13)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._attacks import SHOWN, attacks, short, telling
from repaudit.render.figures._canvas import LEFT, RIGHT, WIDTH, Axis, Box, log_axis, panel, sheet, span_axis
from repaudit.render.figures._data import Column, Count, Data, Number, read
from repaudit.render.figures._marks import key, look, marks, place_in
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._attacks import Attack
    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

MOST_QUERIES = 20_000
MARKED = 12
"""A line of at most so many queries has a mark at each; a longer one at its ends and between."""
LONGER = 4
"""Where one attack asks so many times as often as another, the axis is logarithmic."""
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
PANELS = {"margin": "mean margin (below 0: broken)", "cosine": "mean cosine to the centre", "rms": "mean feature RMS"}


class Means(Data):
    """Mean at each query, None where nothing was measured."""

    aligned = ("mean",)
    mean: Column[Number | None]


class Trajectory(Data):
    """`robustness.<attack>.trajectory`."""

    aligned = ("query", "count")
    query: Column[Count]
    count: Column[Count]
    n: Count
    rms: Means
    cosine: Means
    margin: Means


@dataclass(frozen=True, slots=True)
class Course:
    """One attack; NaN where there is no mean."""

    attack: Attack
    query: np.ndarray
    """(q,) from 1."""
    means: dict[str, np.ndarray]
    images: int

    def told(self) -> str:
        """Its first and its last margin in words."""
        margin = self.means["margin"]
        known = margin[np.isfinite(margin)]
        name = f"{short(self.attack.key)}{f' ({self.attack.threat})' if self.attack.threat else ''}"
        return f"{name} takes it from {known[0]:.3g} to {known[-1]:.3g} in {len(self.query)} queries"


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields margin, cosine and RMS over the queries of at most six attacks."""
    found = [course for attack in attacks(report) if (course := _course(attack, report)) is not None]
    chosen = telling([course.attack for course in found], SHOWN)
    shown = [course for course in found if course.attack in chosen]
    if not shown:
        return
    images = max(course.images for course in shown)
    told = "; ".join(course.told() for course in shown)
    yield Sketch(
        title="Course of the attacks",
        caption=f"Mean margin of up to {counted(images, 'initially correct image')}: {told}. Means of the images "
        "still asked at that query.",
        alternative=f"Means over the queries of each attack. Margin, the label's logit less the largest other: {told}.",
        paint=partial(paint, shown),
    )


def _course(attack: Attack, report: Report) -> Course | None:
    data = read(Trajectory, attack.figure(report, "trajectory"))
    if data is None or len(data.query) > MOST_QUERIES or np.any(np.diff(data.query) <= 0):
        return None
    lists = {"margin": data.margin.mean, "cosine": data.cosine.mean, "rms": data.rms.mean}
    if any(len(values) != len(data.query) for values in lists.values()):
        return None
    means = {name: np.array([np.nan if mean is None else mean for mean in values]) for name, values in lists.items()}
    if not np.isfinite(means["margin"]).any():
        return None
    return Course(attack, np.array(data.query) + 1, means, data.n)


def paint(shown: list[Course], inks: Inks) -> Figure:
    """One panel a quantity, over one axis of queries."""
    panels = [name for name in PANELS if any(np.isfinite(course.means[name]).any() for course in shown)]
    looks = [look(inks, place) for place in range(len(shown))]
    names = [f"{short(course.attack.key)} {course.attack.threat.rpartition(' ')[2]}".strip() for course in shown]
    rows = 1 + sum(len(name) for name in names) // 32
    top, tall, gap = 38.0 + 20 * rows, 96.0, 33.0
    figure = sheet(top + len(panels) * (tall + gap) - gap + 44)
    key(figure, inks, 2, list(zip(looks, names, strict=True)))
    x = _queries(shown)
    for place, name in enumerate(panels):
        known = np.concatenate([course.means[name][np.isfinite(course.means[name])] for course in shown])
        last = place == len(panels) - 1
        below = x if last else Axis("", x.low, x.high, x.ticks, (), log=x.log)
        box = Box(LEFT, top + place * (tall + gap), WIDTH - LEFT - RIGHT, tall)
        axes = panel(figure, inks, box, below, span_axis(PANELS[name], known.tolist(), count=4))
        for course, appearance in zip(shown, looks, strict=True):
            values = course.means[name]
            axes.plot(
                course.query, values, color=appearance.colour, linewidth=2, linestyle=appearance.dashes, zorder=2.5
            )
            spots = np.flatnonzero(np.isfinite(values))
            if len(spots) > MARKED:
                spots = spots[np.unique(np.geomspace(1, len(spots), MARKED).astype(np.int64)) - 1]
            if appearance.shape is not None:
                where = place_in(axes, course.query[spots], values[spots])
                marks(figure, where, appearance.shape, appearance.colour, size=5)
    return figure


def _queries(shown: list[Course]) -> Axis:
    lasts = [int(course.query[-1]) for course in shown]
    most = max(lasts)
    if most >= LONGER * min(lasts) and most > MARKED:
        return log_axis("query (1: the start)", 0.93, most * 1.08, TICKS, lambda tick: f"{tick:,.0f}")
    low, high = min(int(course.query[0]) for course in shown), most
    spanned = span_axis("query (1: the start)", [float(low), float(high)])
    whole = [tick for tick in spanned.ticks if tick == int(tick)]
    return Axis(spanned.label, spanned.low, spanned.high, tuple(whole), tuple(f"{tick:,.0f}" for tick in whole))


plot = Plot(audit="robustness", sketches=sketches)
