"""Six colours of confidence, with the same limits for every model, so that drawings compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.figures._canvas import POINTS, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks

LEVELS = (0.3, 0.5, 0.7, 0.9, 0.99)
"""Confidences between the six steps of colour."""


def scale(figure: Figure, inks: Inks) -> None:
    """A strip of the six colours with the confidences between them, at the top of the paper."""
    from matplotlib.patches import Rectangle

    height = figure.get_figheight() * POINTS
    write(figure, inks.ink, 4, 15, "confidence")
    for step, colour in enumerate(inks.confidence):
        left = 88 + 30 * step
        corner = (left / POINTS, (height - 15) / POINTS)
        patch = Rectangle(corner, 29 / POINTS, 10 / POINTS, color=colour, linewidth=0)
        patch.set_transform(figure.dpi_scale_trans)
        figure.add_artist(patch)
        if step:
            write(figure, inks.muted, left - 0.5, 30, f"{LEVELS[step - 1]:g}".lstrip("0"), align="center")
