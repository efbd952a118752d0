"""What each figure of the audit `accuracy` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFINITIONS: Mapping[str, Definition] = {
    "accuracy.top1": Definition(
        "Share of images whose largest logit is the label's; a tie goes to the class that comes first.",
        "the field's usual definition",
    ),
    "accuracy.top5": Definition(
        "Share of images whose label is among the five largest logits.",
        "ILSVRC, Russakovsky et al. 2015",
    ),
}
