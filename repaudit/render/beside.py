"""Values that lie outside their own intervals, which looks like a mistake and is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.plain import safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repaudit.report import Report

REFLECTED = "basic-bootstrap"


def beside_interval(report: Report, keys: Iterable[str]) -> str:
    """A sentence about those of the metrics that are shown; empty where every interval holds its value."""
    shown = ((key, report.metrics.get(key)) for key in keys)
    outside = [
        key
        for key, metric in shown
        if metric is not None
        and metric.interval is not None
        and metric.interval.method == REFLECTED
        and not metric.interval.low <= metric.value <= metric.interval.high
    ]
    if not outside:
        return ""
    named, lies = ", ".join(map(safe, outside)), "lies" if len(outside) == 1 else "lie"
    return (
        f"{named} {lies} outside the interval beside it: binned errors of so few images are too large on average, "
        "which the interval takes off and the value does not"
    )
