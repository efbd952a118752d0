"""Numbers as captions say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.plain import safe, value_and_interval

if TYPE_CHECKING:
    from repaudit.report import Report


def percent(share: float) -> str:
    """A fraction of 1 in per cent, with one decimal."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def counted(n: int, thing: str, several: str = "") -> str:
    """`1 image`, `2,000 images`."""
    return f"1 {thing}" if n == 1 else f"{n:,} {several or f'{thing}s'}"


def measured(report: Report, key: str, name: str) -> str:
    """`ECE 0.012 (95 % interval 0.000 – 0.024)`; nothing where the report does not have it."""
    metric = report.metrics.get(key)
    if metric is None:
        return ""
    value, interval = value_and_interval(metric)
    return f"{safe(name)} {value} (95 % interval {interval})" if interval else f"{safe(name)} {value}"
