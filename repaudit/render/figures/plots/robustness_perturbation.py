"""How far an attack moves features, against how long they are (RS, Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._attacks import attacks, short, telling
from repaudit.render.figures._canvas import LEFT, RIGHT, WIDTH, Axis, Box, panel, sheet, span_axis, write
from repaudit.render.figures._data import Column, Data, Size, read
from repaudit.render.figures._letters import fitted, wide
from repaudit.render.figures._marks import Look, Shape, key, marks, place_in
from repaudit.render.figures._plot import Plot, Sketch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from repaudit.render.figures._attacks import Attack
    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

PANELS = 4
MOST_POINTS = 2_500


class Perturbation(Data):
    """`robustness.<attack>.perturbation`: one entry a watched image."""

    aligned = ("rms", "perturbation_rms", "broken")
    rms: Column[Size]
    perturbation_rms: Column[Size]
    broken: Column[bool]


@dataclass(frozen=True, slots=True)
class Moved:
    """What one attack did."""

    attack: Attack
    rms: np.ndarray
    moved: np.ndarray
    broken: np.ndarray

    def told(self) -> str:
        """Its averages in words."""
        share = f"{int(self.broken.sum()):,} of {len(self.broken):,} broken"
        return f"{short(self.attack.key)} {self.attack.threat} {self.moved.mean():.3g} ({share})"


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields one drawing with a panel for each of at most four attacks."""
    found = []
    for attack in attacks(report):
        data = read(Perturbation, attack.figure(report, "perturbation"))
        if data is not None and len(data.rms) <= MOST_POINTS:
            found.append(
                Moved(attack, *(np.array(column) for column in (data.rms, data.perturbation_rms, data.broken)))
            )
    chosen = telling([moved.attack for moved in found], PANELS)
    shown = [moved for moved in found if moved.attack in chosen]
    if not shown:
        return
    left_out = f"; the {len(shown)} of {len(found)} attacks nearest to half success" if len(shown) < len(found) else ""
    told = "; ".join(moved.told() for moved in shown)
    yield Sketch(
        title="Perturbation of the features",
        caption=f"RMS of f_adv − f against RMS of f of initially correct images, on average "
        f"{np.mean([moved.rms.mean() for moved in shown]):.3g} before the attack. Moved by: {told}{left_out}.",
        alternative=f"Scatter of perturbation against feature RMS. Mean RMS of f_adv − f: {told}.",
        paint=partial(paint, shown),
    )


def paint(shown: list[Moved], inks: Inks) -> Figure:
    """A panel an attack, each with a vertical axis of its own that begins at 0; the rarer outcome lies on top."""
    rows = (len(shown) + 1) // 2
    tall = 190.0 if rows == 1 else 150.0
    figure = sheet(48 + rows * (tall + 40) + 4)
    whole, broken = inks.accents[0], inks.accents[1]
    key(figure, inks, 2, [(Look(whole, Shape.DOT), "not broken"), (Look(broken, Shape.CROSS), "broken")])
    columns = min(len(shown), 2)
    across = (WIDTH - columns * LEFT - RIGHT) / columns
    x = span_axis("feature RMS", np.concatenate([moved.rms for moved in shown]).tolist(), count=4 if columns > 1 else 6)
    for place, moved in enumerate(shown):
        row, column = divmod(place, 2)
        lowest = place + 2 >= len(shown)
        box = Box(LEFT + column * (across + LEFT), 48 + row * (tall + 40), across, tall)
        y = span_axis("", moved.moved.tolist(), zero=True, count=4)
        axes = panel(figure, inks, box, x if lowest else Axis("", x.low, x.high, x.ticks, ()), y)
        room = across + LEFT - 8
        write(figure, inks.ink, box.left - LEFT + 4, box.top - 12, _title(moved.attack, room))
        points = place_in(axes, moved.rms, moved.moved)
        rare = 4.0 if 2 * int(moved.broken.sum()) <= len(moved.broken) else 2.0
        marks(figure, points[~moved.broken], Shape.DOT, whole, size=3.4)
        marks(figure, points[moved.broken], Shape.CROSS, broken, size=4.4, layer=rare)
    return figure


def _title(attack: Attack, room: float) -> str:
    radius = f" {attack.threat.rpartition(' ')[2]}"
    return fitted(attack.key, room - wide(radius)) + radius


plot = Plot(audit="robustness", sketches=sketches)
