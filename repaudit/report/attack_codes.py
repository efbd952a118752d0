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


ATTACKED = ("robustness.", "transfer.")
"""How keys begin that follow from such columns."""
SURROGATE_RIGHT = "transfer_surrogate_right"
"""Column of whether the surrogate gets an image right as it is: 1, 0, or `NOT_ATTACKED`."""
NOT_ATTACKED = -1
"""Stands for an image that was not in question."""
CODES = {
    AttackOutcome.ROBUST: 0,
    AttackOutcome.BROKEN: 1,
    AttackOutcome.ERROR: 2,
    AttackOutcome.INITIALLY_WRONG: 3,
}


def outcome_column(key: str) -> str:
    """The column that a key such as `robustness.fgsm.asr` or `transfer.asr` follows from."""
    return f"attack_{key.split('.')[-2]}_outcome"
