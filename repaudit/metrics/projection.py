"""Features seen on the plane through three templates (Müller, Kornblith & Hinton 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STRAIGHT = 1e-6
"""Below this share of the longer side three templates lie on a line."""


@dataclass(frozen=True, slots=True)
class TemplatePlane:
    """The plane through three points of the feature space, with coordinates of its own."""

    origin: np.ndarray
    """(d,) the first template."""
    axes: np.ndarray
    """(2, d) orthonormal: the first points to the second template, the third template has a positive second one."""

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) of the orthogonal projections of (n, d) points; distances in the plane are true."""
        found: np.ndarray = (points.astype(np.float64) - self.origin) @ self.axes.T
        return found


def template_plane(templates: np.ndarray) -> TemplatePlane | None:
    """The plane through (3, d) templates; None where they lie on a line, as they do for d = 1."""
    origin, *others = templates.astype(np.float64)
    first, second = (other - origin for other in others)
    length = float(np.linalg.norm(first))
    longest = max(length, float(np.linalg.norm(second)))
    if not length > _STRAIGHT * longest:
        return None
    along = first / length
    across = second - (second @ along) * along
    height = float(np.linalg.norm(across))
    if not height > _STRAIGHT * longest:
        return None
    return TemplatePlane(origin, np.stack([along, across / height]))


def plane_share(features: np.ndarray, plane: TemplatePlane) -> float | None:
    """Share of the variance of (n, d) features, about their mean, that lies in the plane; None where there is none."""
    away = features.astype(np.float64)
    scale = float(np.square(away).sum())
    away = away - away.mean(axis=0)
    total = float(np.square(away).sum())
    if total <= _ROUNDING * scale:
        return None
    return min(float(np.square(away @ plane.axes.T).sum()) / total, 1.0)


_ROUNDING = 1e-24
"""Of the sum of squares: what float64 leaves of a variance that is none."""


def telling_trio(labels: np.ndarray, predictions: np.ndarray) -> tuple[int, int, int] | None:
    """Two classes that are often taken for one another, and a third that is seldom taken for either.

    The pair has the most mistakes between its two classes, the third the fewest with the pair; of equals the lowest
    indices are chosen.

    Args:
        labels: (n,) class indices.
        predictions: (n,).

    Returns:
        Three classes that occur as labels, the pair in rising order first; None where fewer than three do.
    """
    present, row = np.unique(labels, return_inverse=True)
    if len(present) < 3:
        return None
    place = np.searchsorted(present, predictions)
    known = (place < len(present)) & (present[np.minimum(place, len(present) - 1)] == predictions)
    taken = np.zeros((len(present), len(present)), dtype=np.int64)
    np.add.at(taken, (row[known], place[known]), 1)
    mutual = taken + taken.T
    upper = np.where(np.triu(np.ones_like(mutual), k=1) > 0, mutual, -1)
    one, other = np.unravel_index(int(upper.argmax()), upper.shape)
    with_pair = mutual[one] + mutual[other]
    with_pair[[one, other]] = np.iinfo(np.int64).max
    third = int(with_pair.argmin())
    return int(present[one]), int(present[other]), int(present[third])
