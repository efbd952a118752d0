"""What each figure of the audit `selective` is, and where its definition comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFINITIONS: Mapping[str, Definition] = {
    "selective.aurc": Definition(
        "Area under the risk-coverage curve: images ranked by confidence, the mean over k of the "
        "error rate among the k most confident. Equal confidences share their errors evenly.",
        "Geifman, Uziel & El-Yaniv 2019",
    ),
}
