"""A finished figure, and the files that it becomes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repaudit.render.figures._canvas import POINTS
from repaudit.render.figures._inks import STAND_INS, Inks
from repaudit.render.figures._style import house_style
from repaudit.render.figures._svg import standalone, themed
from repaudit.render.figures.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from repaudit.render.figures._plot import Painter, Sketch

SHARPNESS = 2
"""Pixels a point of a PNG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure of a report; its texts are printable, but not escaped."""

    name: str
    """Stem of its files, such as `calibration-reliability`: lower-case letters, digits and `-`."""
    audit: str
    """Id of the audit that it belongs to."""
    title: str
    caption: str
    """One sentence with the numbers to see, n and the convention."""
    alternative: str
    """What it shows, for those who cannot see it."""
    svg: str = field(repr=False)
    """To stand inside a page whose CSS sets the custom properties of `palette`; as wide as its place."""
    paint: Painter = field(repr=False, compare=False)
    """Paints it in any colours; needs `house_style`."""


def drawn(sketch: Sketch, name: str, audit: str) -> Drawing:
    """Paints a sketch with stand-ins for colours; needs `house_style`."""
    written = io.StringIO()
    figure = sketch.paint(Inks.of(STAND_INS))
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing)
    return Drawing(
        name=name,
        audit=audit,
        title=sketch.title,
        caption=sketch.caption,
        alternative=sketch.alternative,
        svg=themed(written.getvalue(), name=name, title=sketch.title, description=sketch.alternative),
        paint=sketch.paint,
    )


def to_svg_file(drawing: Drawing) -> str:
    """The text of an SVG file: light colours on light paper."""
    return standalone(drawing.svg)


def to_png(drawing: Drawing) -> bytes:
    """A PNG of twice as many pixels as points: light colours on light paper. Takes a tenth of a second."""
    written = io.BytesIO()
    with house_style():
        figure: Figure = drawing.paint(Inks.of(LIGHT))
        figure.patch.set_visible(True)
        figure.savefig(
            written, format="png", dpi=SHARPNESS * POINTS, facecolor=LIGHT["--paper"], metadata={"Software": None}
        )
    return written.getvalue()
