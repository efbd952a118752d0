"""What drawings of a feature plane have in common: square panels, shaded regions, landmarks of classes, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.figures._canvas import POINTS, Box, panel, span_axis, write
from repaudit.render.figures._confidence import LEVELS
from repaudit.render.figures._letters import fitted, wide
from repaudit.render.figures._marks import LINE, Look, Shape, marks, place_in, segments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from repaudit.render.figures._canvas import Axis
    from repaudit.render.figures._inks import Inks
    from repaudit.render.figures._plane import Plane

LONGEST_NAME = 70.0
"""Points that a class's name takes at most."""
LATTICE = 32
"""Places along each side where a name may stand."""
_OFF = 0.2
"""Points by which a contour may be drawn beside its place."""


def square(figure: Figure, inks: Inks, box: Box, x: tuple[str, float, float], y: tuple[str, float, float]) -> Axes:
    """A panel without lines whose units are as long across as upwards.

    Args:
        figure: the paper.
        inks: its colours.
        box: as wide as high.
        x: name, low and high end of the horizontal axis.
        y: of the vertical one, as long.
    """
    axes = panel(figure, inks, box, _between(*x, box.width), _between(*y, box.width))
    axes.grid(visible=False)
    return axes


def _between(label: str, low: float, high: float, width: float) -> Axis:
    """Exactly from low to high; `span_axis` adds air of a twentieth, which is taken off first."""
    air = (high - low) / 22
    return span_axis(label, [low + air, high - air], count=5 if width > 200 else 3)


def shade(axes: Axes, inks: Inks, parts: Mapping[int, np.ndarray], colour_of: np.ndarray, *, filled: bool) -> None:
    """Decision regions, in a breath of their class's colour or as outlines alone."""
    from matplotlib.patches import Polygon

    for label, corners in parts.items():
        face = inks.accents[int(colour_of[label])] if filled else "none"
        if filled:
            axes.add_patch(Polygon(corners, closed=True, facecolor=face, alpha=0.17, linewidth=0, clip_on=False))
        outline = {"facecolor": "none", "edgecolor": inks.muted, "linewidth": 0.7, "zorder": 1.5}
        axes.add_patch(Polygon(corners, closed=True, clip_on=False, joinstyle="round", **outline))


def cloud(
    figure: Figure, inks: Inks, places: np.ndarray, plane: Plane, colour_of: np.ndarray, *, size: float = 3.4
) -> None:
    """Features at (n, 2) points of the paper: dots, and crosses where the answer is wrong, in their class's colour."""
    own = colour_of[plane.labels]
    for shape, correct, wide_ in ((Shape.DOT, True, size), (Shape.CROSS, False, 1.6 * size)):
        for place, colour in enumerate(inks.accents):
            chosen = places[(own == place) & (plane.correct == correct)]
            marks(figure, chosen, shape, colour, size=wide_, layer=2.6 if correct else 2.8)


def landmarks(figure: Figure, inks: Inks, axes: Axes, plane: Plane, pair: tuple[int, int], arrows: float) -> None:
    """Weight vectors, class means and minima, of two of the dimensions."""
    shown = list(pair)
    origin = place_in(axes, [0.0], [0.0])
    tips = place_in(axes, *(arrows * plane.weight[:, shown]).T)
    arrow_marks(figure, np.repeat(origin, len(tips), axis=0), tips, inks.ink, width=1.3, layer=3.4)
    for rows, shape, hollow in (
        (plane.means, Shape.DIAMOND, inks.paper),
        (plane.minima[~plane.finite], Shape.SQUARE, inks.paper),
        (plane.minima[plane.finite], Shape.SQUARE, None),
    ):
        inside = rows[np.isfinite(rows).all(axis=1)][:, shown]
        low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
        inside = inside[((inside >= low) & (inside <= high)).all(axis=1)]
        if len(inside):
            marks(figure, place_in(axes, *inside.T), shape, inks.ink, size=8.0, hollow=hollow, layer=3.6)


def arrow_marks(
    figure: Figure, starts: np.ndarray, tips: np.ndarray, colour: str, *, width: float, layer: float, barb: float = 5.0
) -> None:
    """Arrows between (m, 2) points of the paper; their barbs are never longer than half of them."""
    ways = tips - starts
    lengths = np.linalg.norm(ways, axis=1)
    starts, tips, ways, lengths = (part[lengths > 0.3] for part in (starts, tips, ways, lengths))
    if not len(tips):
        return
    back = -ways / lengths[:, None] * np.minimum(barb, lengths / 2)[:, None]
    left = tips + back @ np.array([[0.87, 0.5], [-0.5, 0.87]])
    right = tips + back @ np.array([[0.87, -0.5], [0.5, 0.87]])
    ends = np.concatenate([tips, left, right])
    segments(figure, np.concatenate([starts, tips, tips]), ends, colour, width, layer)


def name_looks(inks: Inks, plane: Plane) -> list[tuple[Look, str]]:
    """The key of everything that `cloud` and `landmarks` draw."""
    found = [(Look(inks.muted, Shape.DOT), "right")]
    if not plane.correct.all():
        found.append((Look(inks.muted, Shape.CROSS), "wrong"))
    found += [
        (Look(inks.ink, dashes=(0.0, ()), width=1.3), "weights"),
        (Look(inks.ink, Shape.DIAMOND, hollow=inks.paper), "class mean"),
    ]
    known = np.isfinite(plane.minima).all(axis=1)
    if (known & plane.finite).any():
        found.append((Look(inks.ink, Shape.SQUARE), "least loss"))
    if (known & ~plane.finite).any():
        found.append((Look(inks.ink, Shape.SQUARE, hollow=inks.paper), "least loss on the ball"))
    return found


def region_names(
    figure: Figure,
    inks: Inks,
    axes: Axes,
    plane: Plane,
    parts: Mapping[int, np.ndarray],
    busy: np.ndarray,
) -> None:
    """The name of each class in its region, away from what is drawn there; none where there is no room.

    Args:
        figure: the paper.
        inks: its colours.
        axes: of two dimensions.
        plane: whose classes are named.
        parts: corners of the regions.
        busy: (m, 2) points of the paper that names keep away from.
    """
    entries = []
    for label, corners in parts.items():
        outline = place_in(axes, *corners.T)
        entries.append((plane.names[label], _roomy(outline, busy)))
    names(figure, inks, axes, entries)


def _roomy(outline: np.ndarray, busy: np.ndarray) -> np.ndarray:
    """Points inside a convex polygon, those with most room around them first."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    steps = (np.arange(LATTICE) + 0.5) / LATTICE
    lattice = low + np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * (high - low)
    sides = np.roll(outline, -1, axis=0) - outline
    lengths = np.linalg.norm(sides, axis=1)
    kept = lengths > 1e-9
    normals = np.column_stack([-sides[kept, 1], sides[kept, 0]]) / lengths[kept, None]
    room = ((lattice[:, None, :] - outline[kept][None]) * normals[None]).sum(axis=2).min(axis=1)
    if len(busy):
        room = np.minimum(room, np.linalg.norm(lattice[:, None, :] - busy[None], axis=2).min(axis=1))
    order = np.argsort(-room, kind="stable")
    found: np.ndarray = lattice[order[room[order] > LINE / 3]]
    return found


def names(figure: Figure, inks: Inks, axes: Axes, entries: Sequence[tuple[str, np.ndarray]]) -> None:
    """Texts within a panel, each at the first of its (k, 2) points at which it covers no other."""
    height = figure.get_figheight() * POINTS
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    (x0, y0), (x1, y1) = place_in(axes, [left, right], [low, high])
    taken: list[tuple[float, float, float, float]] = []
    for text, candidates in entries:
        shown = fitted(text, LONGEST_NAME)
        half = wide(shown) / 2
        for x, y in candidates[:200].tolist():
            box = (x - half - 2, y - LINE / 2, x + half + 2, y + LINE / 2)
            inside = box[0] > x0 and box[1] > y0 and box[2] < x1 and box[3] < y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                write(figure, inks.ink, x, height - y + 4.5, shown, align="center")
                break


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def contours(
    figure: Figure,
    inks: Inks,
    axes: Axes,
    lattice: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
    width: float,
    steps: Sequence[int] = range(len(LEVELS)),
) -> None:
    """Lines along which a probability passes steps of confidence, in the colour of what lies beyond.

    Args:
        figure: the paper.
        inks: its colours.
        axes: of two dimensions.
        lattice: (k,) positions across and (m,) upwards.
        values: (m, k) probabilities there.
        width: of the lines, in points.
        steps: which of the levels.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    inside = [step for step in steps if values.min() < LEVELS[step] < values.max()]
    if not inside:
        return
    found = axes.contour(*lattice, values, levels=[LEVELS[step] for step in inside])
    found.remove()
    for step, lines in zip(inside, found.allsegs, strict=True):
        pieces = [Path(_simple(place_in(axes, *line.T)) / POINTS) for line in lines if len(line) > 1]
        if pieces:
            style = {"facecolor": "none", "edgecolor": inks.confidence[step + 1], "linewidth": width, "zorder": 2.2}
            path = Path.make_compound_path(*pieces)
            figure.add_artist(PathPatch(path, transform=figure.dpi_scale_trans, capstyle="round", **style))


def _simple(line: np.ndarray) -> np.ndarray:
    """An (m, 2) line without the points that lie within a fifth of a point of what is left (Ramer–Douglas–Peucker)."""
    kept = np.zeros(len(line), dtype=bool)
    kept[[0, -1]] = True
    spans = [(0, len(line) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        way, inner = line[last] - line[first], line[first + 1 : last] - line[first]
        length = float(np.linalg.norm(way))
        off = np.abs(inner @ [-way[1], way[0]]) / length if length > 0 else np.linalg.norm(inner, axis=1)
        if off.max() > _OFF:
            middle = first + 1 + int(off.argmax())
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    found: np.ndarray = line[kept]
    return found
