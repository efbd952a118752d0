"""What scaling the features does to accuracy and calibration, temperature beside it (RS, Fig. 25)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import (
    BOTTOM,
    LEFT,
    RIGHT,
    WIDTH,
    Box,
    log_axis,
    near_axis,
    panel,
    sheet,
    span_axis,
)
from repaudit.render.figures._data import Column, Count, Data, Scale, Share, read
from repaudit.render.figures._marks import Look, Shape, key, look, marks, place_in
from repaudit.render.figures._plot import Plot, Sketch
from repaudit.render.figures._words import counted, percent
from repaudit.render.plain import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

HEIGHT = 376.0
MOST_POINTS = 200
TICKS = (1 / 16, 1 / 8, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class Curve(Data):
    """One way of rescaling, along its scales."""

    aligned = ("value", "accuracy", "ece")
    value: Column[Scale]
    accuracy: Column[Share]
    ece: Column[Share]


class Scaling(Data):
    """`calibration.feature_scaling`."""

    temperature: Curve
    feature_scale: Curve | None = None
    images: Count


class Fit(Data):
    """`calibration.fit`: the optima by likelihood on the other half."""

    temperature: Scale | None = None
    feature_scale: Scale | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One way of rescaling over the scales s that multiply the logits (less their bias, for features)."""

    name: str
    scale: np.ndarray
    """(g,), rising."""
    accuracy: np.ndarray
    ece: np.ndarray
    optimum: float | None
    """Fitted on the other half; None where there is none."""
    accuracy_there: float | None
    ece_there: float | None

    @classmethod
    def features(cls, report: Report, curve: Curve, optimum: float | None) -> Family:
        """Scaling the features by S."""
        return cls(
            name="feature scale",
            scale=np.array(curve.value),
            accuracy=np.array(curve.accuracy),
            ece=np.array(curve.ece),
            optimum=optimum,
            accuracy_there=_share(report, "top1_after_feature_scale"),
            ece_there=_share(report, "ece_after_feature_scale"),
        )

    @classmethod
    def temperatures(cls, report: Report, curve: Curve, optimum: float | None) -> Family:
        """Dividing the logits by T, over s = 1/T; no answer changes."""
        return cls(
            name="temperature",
            scale=1 / np.array(curve.value[::-1]),
            accuracy=np.array(curve.accuracy[::-1]),
            ece=np.array(curve.ece[::-1]),
            optimum=None if optimum is None else 1 / optimum,
            accuracy_there=curve.accuracy[0],
            ece_there=_share(report, "ece_after_temperature"),
        )


def sketches(report: Report) -> Iterator[Sketch]:
    """Yields the curves of the held-out half."""
    data = read(Scaling, report.figures.get("calibration.feature_scaling"))
    if data is None or not _rising(data.temperature):
        return
    fit = read(Fit, report.figures.get("calibration.fit")) or Fit()
    families = [Family.temperatures(report, data.temperature, fit.temperature)]
    told = [_told(report, "temperature T", fit.temperature, families[0])]
    if data.feature_scale is not None and _rising(data.feature_scale):
        families.insert(0, Family.features(report, data.feature_scale, fit.feature_scale))
        told.insert(0, _told(report, "feature scale S", fit.feature_scale, families[0]))
    words, fitted = "; ".join(told), any(family.optimum is not None for family in families)
    scale, accuracy = families[0].scale, families[0].accuracy
    yield Sketch(
        title="Scaling the features, and temperature",
        caption=f"On the {counted(data.images, 'held-out image')}: {words}."
        + (" Vertical lines and diamonds: the optimum by likelihood, fitted on the other half." if fitted else ""),
        alternative=f"Accuracy and ECE against the {families[0].name}, as a factor from {number(float(scale[0]))} to "
        f"{number(float(scale[-1]))}: accuracy lies between {percent(float(accuracy.min()))} and "
        f"{percent(float(accuracy.max()))}, ECE between {families[0].ece.min():.3f} and {families[0].ece.max():.3f}; "
        f"{words}.",
        paint=partial(paint, families),
    )


def _rising(curve: Curve) -> bool:
    return len(curve.value) <= MOST_POINTS and all(low < high for low, high in pairwise(curve.value))


def _told(report: Report, name: str, optimum: float | None, family: Family) -> str:
    before = _share(report, "ece_heldout")
    if optimum is None:
        return f"{name} has no optimum"
    if before is None or family.ece_there is None:
        return f"{name} = {number(optimum)}"
    return f"{name} = {number(optimum)} takes ECE from {before:.3f} to {family.ece_there:.3f}"


def _share(report: Report, name: str) -> float | None:
    metric = report.metrics.get(f"calibration.{name}")
    return metric.value if metric is not None and 0 <= metric.value <= 1 else None


def paint(families: list[Family], inks: Inks) -> Figure:
    """Accuracy above, ECE below, over one logarithmic axis."""
    figure = sheet(HEIGHT)
    looks = [look(inks, place) for place in range(len(families))]
    names = ["temperature, at 1/T" if family.name == "temperature" else family.name for family in families]
    key(figure, inks, 2, list(zip(looks, names, strict=True)))
    wide = WIDTH - LEFT - RIGHT
    ends = np.concatenate([family.scale for family in families])
    ends = np.append(ends, [family.optimum for family in families if family.optimum is not None])
    low, high = float(ends.min()) / 1.05, float(ends.max()) * 1.05
    above = log_axis("", low, high, TICKS, lambda _: "")
    below = log_axis("scale S of the features, or 1/T", low, high, TICKS, _fraction)
    rates = np.concatenate([family.accuracy for family in families]).tolist()
    rates += [family.accuracy_there for family in families if family.accuracy_there is not None]
    accuracy = panel(figure, inks, Box(LEFT, 52, wide, 110), above, near_axis("accuracy", rates))
    highest = max(max(float(family.ece.max()), family.ece_there or 0.0) for family in families)
    errors = span_axis("ECE", [0.0, highest], zero=True)
    ece = panel(figure, inks, Box(LEFT, 194, wide, HEIGHT - 194 - BOTTOM), below, errors)
    for appearance, family in zip(looks, families, strict=True):
        _draw(figure, accuracy, appearance, family, family.accuracy, family.accuracy_there)
        _draw(figure, ece, appearance, family, family.ece, family.ece_there)
    return figure


def _draw(
    figure: Figure, axes: Axes, appearance: Look, family: Family, values: np.ndarray, there: float | None
) -> None:
    style = appearance.dashes
    axes.plot(family.scale, values, color=appearance.colour, linewidth=2, linestyle=style, zorder=2.5)
    if appearance.shape is not None:
        marks(figure, place_in(axes, family.scale, values), appearance.shape, appearance.colour, size=5)
    if family.optimum is not None:
        axes.axvline(family.optimum, color=appearance.colour, linewidth=1.2, linestyle=style, zorder=1.5)
        if there is not None:
            best = place_in(axes, [family.optimum], [there])
            marks(figure, best, Shape.DIAMOND, appearance.colour, size=9, layer=4)


def _fraction(scale: float) -> str:
    return f"1/{1 / scale:g}" if scale < 1 else f"{scale:g}"


plot = Plot(audit="calibration", sketches=sketches)
