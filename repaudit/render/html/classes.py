"""Accuracy class by class: the worst at once, all on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.metrics.intervals import wilson
from repaudit.render.html.series import numbers, words

if TYPE_CHECKING:
    from repaudit.render.html.limits import Limits, Listing
    from repaudit.report import Report

WORST = 20
AUDIT, FIGURE = "accuracy", "accuracy.per_class"


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class."""

    index: str
    name: str
    images: int
    right: float
    """Share, 0 to 1."""
    percent: str
    bar: str
    """The share as a length in CSS."""
    interval: str


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Every class that has images."""

    count: int
    worst: tuple[ClassRow, ...]
    """At most 20, worst first."""
    all: Listing[ClassRow]
    """By index; empty where `worst` has them all."""


def class_table(report: Report, limits: Limits) -> ClassTable | None:
    """The table, or None where the report has no such figure."""
    figure = report.figures.get(FIGURE, {})
    index, name = words(figure, "class"), words(figure, "name")
    images, right = numbers(figure, "images"), numbers(figure, "accuracy")
    if not index or name is None or images is None or right is None:
        return None
    if not len(index) == len(name) == len(images) == len(right) or not all(0 <= share <= 1 for share in right):
        return None
    order = sorted(range(len(index)), key=right.__getitem__)

    def row(at: int) -> ClassRow:
        return _row(limits.named(index[at]), limits.named(name[at]), max(0, int(images[at])), right[at])

    worst = tuple(row(at) for at in order[:WORST])
    rest = range(len(index)) if len(index) > WORST else range(0)
    shown = limits.cut(rest, limits.classes)
    return ClassTable(len(index), worst, shown.each(row))


def _row(index: str, name: str, images: int, right: float) -> ClassRow:
    interval = ""
    if images:
        bounds = wilson(round(right * images), images)
        interval = f"{100 * bounds.low:.0f} – {100 * bounds.high:.0f} %"
    return ClassRow(index, name, images, right, f"{100 * right:.1f} %", f"{100 * right:.1f}%", interval)
