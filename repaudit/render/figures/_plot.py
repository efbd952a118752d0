"""What a file of `plots` says: how to read one kind of figure from a report, and how to paint it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks
    from repaudit.report import Report

Painter: TypeAlias = "Callable[[Inks], Figure]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A figure whose data are known to be sound, not yet painted; texts are printable."""

    title: str
    caption: str
    alternative: str
    paint: Painter = field(repr=False)
    part: str = ""
    """What tells several drawings of one plot apart, such as a norm: lower-case letters and digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One kind of figure."""

    audit: str
    """Id of the audit that it belongs to."""
    sketches: Callable[[Report], Iterator[Sketch]]
    """Yields nothing where the report lacks the data, or holds what cannot be drawn."""
