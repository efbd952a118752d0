"""Text and numbers made fit to print: foreign names must not act, and digits must mean something."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from repaudit.errors import printable
from repaudit.gates.telling import beside, same_side

if TYPE_CHECKING:
    from repaudit.report import Metric

LONGEST_NAME = 120


def safe(text: str, longest: int = LONGEST_NAME) -> str:
    r"""A foreign name in printable characters, shortened in the middle.

    Control, format, surrogate and private characters (escape sequences, line breaks, marks that turn
    the writing direction) are shown by their escapes, such as `\x1b`.
    """
    shown = printable(_shortened(text, longest))
    return _shortened(shown, 2 * longest)


def number(value: float) -> str:
    """Three digits that count, never in exponents between 0.0001 and a million."""
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def number_beside(value: float, limit: float) -> str:
    """As `number`, with more digits where rounding would put it on the other side of a limit."""
    text = number(value)
    return text if same_side(float(text.replace(",", "")), value, limit) else beside(value, limit)


def value_and_interval(metric: Metric) -> tuple[str, str]:
    """Both with as many decimals as the width of the interval can carry; the interval may be empty."""
    interval = metric.interval
    if interval is None:
        return number(metric.value), ""
    width = interval.high - interval.low
    if not 1e-6 <= width < 1e6:
        return number(metric.value), f"{number(interval.low)} – {number(interval.high)}"
    decimals = max(0, 1 - math.floor(math.log10(width)))
    return f"{metric.value:,.{decimals}f}", f"{interval.low:,.{decimals}f} – {interval.high:,.{decimals}f}"


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"
