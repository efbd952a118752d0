"""What each figure of the audit `plane` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFINITIONS: Mapping[str, Definition] = {
    "plane.variance_share": Definition(
        "Share of the features' variance, about their mean, along its two leading principal directions: what a "
        "picture in a plane can hold at most.",
        "principal component analysis",
    ),
    "plane.finite_minima": Definition(
        "Share of the classes whose loss has a minimum in the feature space itself, found within 64 times the mean "
        "norm of correctly classified features; the loss of the others falls for ever along a direction. Measured for "
        "features of two or three dimensions.",
        "a minimum exists where w_y lies inside the convex hull of the other rows; arXiv 2410.03999, section 3",
    ),
}
