"""What each figure of the audit `cones` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

_RS = "arXiv 2410.03999, appendix C, Table 5"

DEFINITIONS: Mapping[str, Definition] = {
    "cones.first_error_step": Definition(
        "A correctly classified feature moves to the origin in 100 uniform steps: mean index of the "
        "first step at which it is misclassified. 100 is the origin; `never` counts as 100.",
        _RS,
    ),
    "cones.never_share": Definition(
        "Share of correctly classified features that keep their label at every one of the 100 steps "
        "to the origin, the origin included.",
        _RS,
    ),
}
