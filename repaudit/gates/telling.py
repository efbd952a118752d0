"""Numbers beside a limit: as many digits as it takes to stand on the side on which they are."""

from __future__ import annotations

FEWEST, MOST = 3, 17
"""Digits that count; the most always tell two floats apart."""


def beside(value: float, limit: float) -> str:
    """The number with three digits that count, more only where three would put it on the other side of the limit."""
    for digits in range(FEWEST, MOST):
        text = f"{value:.{digits}g}"
        if same_side(float(text), value, limit):
            return text
    return repr(value)


def same_side(shown: float, value: float, limit: float) -> bool:
    """Whether a rounded number stands to the limit as the number itself does."""
    return (shown < limit, shown > limit) == (value < limit, value > limit)


def plain(value: float) -> str:
    """The number with three digits."""
    return f"{value:.{FEWEST}g}"
