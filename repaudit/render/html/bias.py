"""Why an interval of a binned error may lie beside its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.html.numbers import owner
from repaudit.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.report import Metric, Report

_METHOD = "basic-bootstrap"
_AUDIT = "calibration"
_NAMED = 4


def bias_remarks(report: Report, audit: str) -> tuple[str, ...]:
    """A sentence where an interval, or the bound that decided a gate, lies on the far side of its value."""
    if audit != _AUDIT:
        return ()
    beside = {key: report.metrics[key].n for key in _beside(report)}
    if not beside:
        return ()
    keys = [key.removeprefix(f"{_AUDIT}.") for key in beside]
    named = ", ".join(f"`{key}`" for key in keys[:_NAMED])
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    counts = " and ".join(f"{n:,}" for n in sorted(set(beside.values()), reverse=True))
    return (
        f"Why a bound of {named}{more} lies on the far side of the value: the bootstrap subtracts the bias that "
        f"a binned error of few images has (n = {counts}).",
    )


def _beside(report: Report) -> Iterator[str]:
    """Keys, in the report's order."""
    for key, metric in report.metrics.items():
        if owner(key) == _AUDIT and _is_reflected(metric) and (_excludes(metric) or _crossed(report, key, metric)):
            yield key


def _is_reflected(metric: Metric) -> bool:
    return metric.interval is not None and metric.interval.method == _METHOD


def _excludes(metric: Metric) -> bool:
    return metric.interval is not None and not metric.interval.low <= metric.value <= metric.interval.high


def _crossed(report: Report, key: str, metric: Metric) -> bool:
    """Whether an upper bound is below the value, or a lower one above it."""
    for verdict in report.gates:
        if verdict.metric == key and verdict.bound is not None and not verdict.gate.lstrip().startswith("worse"):
            upper = ("<=" in verdict.gate) == (verdict.outcome != Outcome.FAIL)
            if (verdict.bound < metric.value) if upper else (verdict.bound > metric.value):
                return True
    return False
