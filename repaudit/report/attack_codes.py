"""Outcomes of attacks, and how the per-image columns write them."""

from __future__ import annotations

from enum import StrEnum


class AttackOutcome(StrEnum):
    """What an attack did to an image."""

    ROBUST = "robust"
    """No query within the radius was misclassified."""
    BROKEN = "broken"
    ERROR = "error"
    """The network answered with NaN or infinity: neither robust nor broken."""
    INITIALLY_WRONG = "initially_wrong"
    """Misclassified without an attack, and not attacked."""


NOT_ATTACKED = -1
"""Stands for an image that was not in question."""
CODES = {
    AttackOutcome.ROBUST: 0,
    AttackOutcome.BROKEN: 1,
    AttackOutcome.ERROR: 2,
    AttackOutcome.INITIALLY_WRONG: 3,
}
