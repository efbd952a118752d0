"""Points, lines, bars and their names, each kind as one compact path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import POINTS, WIDTH, write
from repaudit.render.figures._letters import fitted, wide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._inks import Inks

LINE = 16.0
"""Height of a line of text."""


class Shape(StrEnum):
    """Marks that are told apart without colour."""

    DOT = "dot"
    CROSS = "cross"
    SQUARE = "square"
    TRIANGLE = "triangle"
    DIAMOND = "diamond"
    PLUS = "plus"


_OUTLINES: Mapping[Shape, tuple[tuple[float, float], ...]] = {
    Shape.SQUARE: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    Shape.TRIANGLE: ((-1.1, -0.8), (1.1, -0.8), (0.0, 1.2)),
    Shape.DIAMOND: ((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)),
}
_STROKES: Mapping[Shape, tuple[tuple[float, float], ...]] = {
    Shape.DOT: ((0.0, 0.0), (1e-5, 0.0)),
    Shape.CROSS: ((-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (1.0, -1.0)),
    Shape.PLUS: ((-1.3, 0.0), (1.3, 0.0), (0.0, -1.3), (0.0, 1.3)),
}
SOLID = (0.0, ())


@dataclass(frozen=True, slots=True)
class Look:
    """How one of several things is drawn, and shown in the key."""

    colour: str
    shape: Shape | None = None
    dashes: tuple[float, tuple[float, ...]] | None = None
    """Of its line; None has no line."""
    box: bool = False
    """A bar's outline instead of a line."""
    upright: bool = False
    """The line stands, as that of an interval does."""
    hollow: str | None = None
    """The colour inside its marks."""
    width: float = 2.0


def look(inks: Inks, place: int) -> Look:
    """Of the series number `place`; there are six."""
    shapes = (Shape.DOT, Shape.SQUARE, Shape.TRIANGLE, Shape.DIAMOND, Shape.CROSS, Shape.PLUS)
    dashes = (SOLID, (0.0, (5.0, 2.0)), (0.0, (1.5, 1.5)), (0.0, (7.0, 2.0, 1.5, 2.0)), (0.0, (3.0, 1.0)), SOLID)
    return Look(inks.accents[place], shapes[place], dashes[place])


def place_in(axes: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> np.ndarray:
    """(m, 2) points from the lower left of the paper, of m positions in the data's units."""
    return np.asarray(axes.transData.transform(np.column_stack([x, y])), dtype=np.float64)


def marks(
    figure: Figure,
    points: np.ndarray,
    shape: Shape,
    colour: str,
    *,
    size: float = 6.0,
    hollow: str | None = None,
    layer: float = 3.0,
) -> None:
    """Draws one shape at many places.

    Args:
        figure: the paper.
        points: (m, 2) from its lower left corner, as `place_in` gives.
        shape: of each.
        colour: of each.
        size: across, in points.
        hollow: the colour inside; None fills with `colour`.
        layer: what is on a higher one covers the lower.
    """
    if not len(points):
        return
    if shape is Shape.DOT:
        _path(figure, points, _STROKES[shape], size, stroke=colour, width=size, layer=layer)
        if hollow is not None:
            _path(figure, points, _STROKES[shape], size, stroke=hollow, width=size - 3, layer=layer + 0.1)
    elif shape in _OUTLINES:
        fill = colour if hollow is None else hollow
        _path(figure, points, _OUTLINES[shape], size, stroke=colour, width=1.3, layer=layer, fill=fill)
    else:
        _path(figure, points, _STROKES[shape], size, stroke=colour, width=1.6, layer=layer)
        if hollow is not None:
            _path(figure, points, _STROKES[Shape.DOT], size, stroke=hollow, width=size / 2, layer=layer + 0.1)


def segments(
    figure: Figure, starts: np.ndarray, ends: np.ndarray, colour: str, width: float, layer: float = 2.0
) -> None:
    """Straight lines between (m, 2) points from the lower left corner of the paper, as one path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if len(starts):
        vertices = np.stack([starts, ends], axis=1).reshape(-1, 2) / POINTS
        path = Path(vertices, np.tile([Path.MOVETO, Path.LINETO], len(starts)))
        style = {"facecolor": "none", "edgecolor": colour, "linewidth": width, "capstyle": "butt", "zorder": layer}
        figure.add_artist(PathPatch(path, transform=figure.dpi_scale_trans, **style))


def hatch(figure: Figure, corner: np.ndarray, opposite: np.ndarray, colour: str, apart: float = 7.0) -> None:
    """Diagonal lines within a box, between its lower left and its upper right point of the paper."""
    (left, low), (right, high) = corner, opposite
    rise = np.arange(low - right, high - left, apart)  # of a line: y − x
    starts = np.column_stack([np.maximum(left, low - rise), np.maximum(low, left + rise)])
    ends = np.column_stack([np.minimum(right, high - rise), np.minimum(high, right + rise)])
    segments(figure, starts, ends, colour, 1.0)


def key(figure: Figure, inks: Inks, top: float, entries: Sequence[tuple[Look, str]], left: float = 4.0) -> float:
    """Names of what is drawn, in rows above a panel.

    Args:
        figure: the paper.
        inks: its colours.
        top: where the rows begin, in points from the top.
        entries: how each thing looks, and its name; foreign.
        left: where the rows begin, in points from the left.

    Returns:
        Where the rows end.
    """
    x, y = left, top + LINE - 3
    for appearance, name in entries:
        swatch = 14.0 if appearance.dashes is None or appearance.upright else 26.0
        text = fitted(name, WIDTH - left - swatch - 4)
        width = swatch + wide(text)
        if x > left and x + width > WIDTH:
            x, y = left, y + LINE + 3
        _swatch(figure, appearance, x, y - 4.5, swatch - 4)
        write(figure, inks.ink, x + swatch, y, text)
        x += width + 12
    return y + 5


def stroke(figure: Figure, points: np.ndarray, appearance: Look, layer: float = 2.5) -> None:
    """A line through (m, 2) points from the lower left corner of the paper."""
    from matplotlib.lines import Line2D

    style = SOLID if appearance.dashes is None else appearance.dashes
    line = Line2D(*(points / POINTS).T, color=appearance.colour, linewidth=appearance.width, linestyle=style)
    line.set(transform=figure.dpi_scale_trans, zorder=layer)
    figure.add_artist(line)


def end_labels(
    figure: Figure, inks: Inks, axes: Axes, entries: Sequence[tuple[Look, float, tuple[str, ...]]], left: float
) -> None:
    """Names of lines beside their ends, moved apart where they would cover one another.

    Args:
        figure: the paper.
        inks: its colours.
        axes: where the lines are.
        entries: how each line looks, the value at which it ends, and the lines of its name.
        left: where the names begin, in points from the left.
    """
    height = figure.get_figheight() * POINTS
    right = axes.get_xlim()[1]
    wanted = [height - place_in(axes, [right], [value])[0, 1] for _, value, _ in entries]
    room = [LINE * len(lines) for _, _, lines in entries]
    order, middles = sorted(range(len(entries)), key=lambda row: wanted[row]), spread(wanted, room)
    lowest = height - place_in(axes, [right], [axes.get_ylim()[0]])[0, 1] + LINE / 2
    top, bottom = middles[0] - room[order[0]] / 2, middles[-1] + room[order[-1]] / 2
    lift = min(max(0.0, bottom - lowest), top - 4)
    for number, middle in zip(order, [middle - lift for middle in middles], strict=True):
        appearance, _, lines = entries[number]
        first = middle - room[number] / 2 + LINE - 4
        if appearance.shape is not None:
            centre = np.array([[left + 5, height - first + 4.5]])
            marks(figure, centre, appearance.shape, appearance.colour, hollow=appearance.hollow)
        for depth, text in enumerate(lines):
            named = fitted(text, WIDTH - left - 16)
            write(figure, inks.muted if depth else inks.ink, left + 14, first + depth * LINE, named)


def spread(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Middles in rising order, as near to the wanted ones as it goes, so that none lies in another's room."""
    order = sorted(range(len(wanted)), key=lambda row: wanted[row])
    groups: list[tuple[float, list[int]]] = []  # the middle of a block, and its members
    for row in order:
        middle, members = wanted[row], [row]
        while groups and groups[-1][0] + _tall(groups[-1][1], room) / 2 > middle - _tall(members, room) / 2:
            before, others = groups.pop()
            middle = (before * len(others) + middle * len(members)) / (len(others) + len(members))
            members = others + members
        groups.append((middle, members))
    middles = []
    for middle, members in groups:
        top = middle - _tall(members, room) / 2
        for row in members:
            middles.append(top + room[row] / 2)
            top += room[row]
    return middles


def _tall(members: Sequence[int], room: Sequence[float]) -> float:
    return sum(room[row] for row in members)


def _swatch(figure: Figure, appearance: Look, x: float, y: float, wide: float) -> None:
    """A piece of the line with its mark, or a small bar."""
    middle = figure.get_figheight() * POINTS - y
    across = np.array([[x, middle], [x + wide, middle]])
    if appearance.box:
        across = across[[0, 1, 1, 0, 0]] + np.array([[0, -4], [0, -4], [0, 4], [0, 4], [0, -4]])
    elif appearance.upright:
        across = np.array([[x + wide / 2, middle - 6], [x + wide / 2, middle + 6]])
    if appearance.dashes is not None or appearance.box:
        stroke(figure, across, appearance)
    if appearance.shape is not None:
        centre = np.array([[x + wide / 2, middle]])
        marks(figure, centre, appearance.shape, appearance.colour, hollow=appearance.hollow)


def _path(
    figure: Figure,
    points: np.ndarray,
    outline: tuple[tuple[float, float], ...],
    size: float,
    *,
    stroke: str,
    width: float,
    layer: float,
    fill: str = "none",
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners = np.array(outline) * size / 2
    closed = fill != "none"
    if closed:
        corners = np.vstack([corners, corners[:1]])
        codes = [Path.MOVETO, *[Path.LINETO] * (len(outline) - 1), Path.CLOSEPOLY]
    else:
        codes = [Path.MOVETO, Path.LINETO] * (len(outline) // 2)
    vertices = (points[:, None, :] + corners[None]).reshape(-1, 2) / POINTS
    path = Path(vertices, np.tile(codes, len(points)))
    style = {"facecolor": fill, "edgecolor": stroke, "linewidth": width, "capstyle": "round", "joinstyle": "round"}
    # snapped to whole pixels, the stroke of a dot would be empty and not be drawn
    figure.add_artist(PathPatch(path, transform=figure.dpi_scale_trans, zorder=layer, snap=False, **style))
