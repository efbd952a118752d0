"""How far an attack moves features, against how long they are (RS, Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._attacks import attacks, short, telling
from repaudit.render.figures._canvas import LEFT, RIGHT, WIDTH, Box, panel, sheet, span_axis, write
from repaudit.render.figures._data import Column, Data, Size, read
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
        average = f"by an RMS of {self.moved.mean():.3g} on average"
        threat = f" ({self.attack.threat})" if self.attack.threat else ""
        return f"{short(self.attack.key)}{threat} moves features {average}, {int(self.broken.sum()):,} of them broken"


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
    images = max(len(moved.rms) for moved in shown)
    left_out = (
        f" The {len(shown)} of {len(found)} attacks that break nearest to half." if len(shown) < len(found) else ""
    )
    typical = float(np.median(shown[0].rms))
    yield Sketch(
        title="Perturbation of the features",
        caption=f"RMS of f_adv − f against RMS of f (median {typical:.3g}), up to {images:,} initially correct images "
        f"an attack: {'; '.join(moved.told() for moved in shown)}.{left_out}",
        alternative=f"Scatter of perturbation against feature RMS: {'; '.join(moved.told() for moved in shown)}.",
        paint=partial(paint, shown),
    )


def paint(shown: list[Moved], inks: Inks) -> Figure:
    """A panel an attack, each with a vertical axis of its own that begins at 0."""
    rows = (len(shown) + 1) // 2
    tall = 190.0 if rows == 1 else 150.0
    figure = sheet(48 + rows * (tall + 40) + 4)
    whole, broken = inks.accents[0], inks.accents[1]
    key(figure, inks, 2, [(Look(whole, Shape.DOT), "not broken"), (Look(broken, Shape.CROSS), "broken")])
    columns = min(len(shown), 2)
    wide = (WIDTH - columns * LEFT - RIGHT) / columns
    x = span_axis("feature RMS", np.concatenate([moved.rms for moved in shown]).tolist(), count=4 if columns > 1 else 6)
    for place, moved in enumerate(shown):
        row, column = divmod(place, 2)
        lowest = place + 2 >= len(shown)
        box = Box(LEFT + column * (wide + LEFT), 48 + row * (tall + 40), wide, tall)
        y = span_axis("", moved.moved.tolist(), zero=True, count=4)
        name = x.label if lowest else ""
        axes = panel(figure, inks, box, type(x)(name, x.low, x.high, x.ticks, x.texts), y)
        write(
            figure, inks.ink, box.left - (LEFT - 4 if not column else 40), box.top - 10, _title(moved.attack, columns)
        )
        points = place_in(axes, moved.rms, moved.moved)
        marks(figure, points[~moved.broken], Shape.DOT, whole, size=3.4)
        marks(figure, points[moved.broken], Shape.CROSS, broken, size=5.0, layer=3.5)
    return figure


def _title(attack: Attack, columns: int) -> str:
    name = short(attack.key, 13 if columns > 1 else 30)
    radius = attack.threat.rpartition(" ")[2]
    return f"{name} {radius}" if radius else name


plot = Plot(audit="robustness", sketches=sketches)
