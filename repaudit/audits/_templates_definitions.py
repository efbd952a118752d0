"""What each figure of the audit `templates` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFINITIONS: Mapping[str, Definition] = {
    "templates.plane_share": Definition(
        "Share of the variance of three classes' features, about their common mean, that lies in the plane through "
        "the three rows of the head: how much of them the projection shows.",
        "Müller, Kornblith & Hinton, NeurIPS 2019, for the projection; VS (AAAI 2025), Fig. 2",
    ),
    "templates.nearest_share": Definition(
        "Share of these features whose projection lies nearest to its own class's mean among the three: how well the "
        "plane alone tells the classes apart.",
        "nearest centroid in the projection",
    ),
}
