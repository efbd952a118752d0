"""Metrics as rows of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from repaudit.finding import Better
from repaudit.render.headlines import family
from repaudit.render.html.names import NAMES
from repaudit.render.plain import value_and_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repaudit.render.html.limits import Limits
    from repaudit.report import Metric, Report

HOME: Mapping[str, str] = {"collapse": "geometry"}
"""Families of keys that an audit of another name measures."""
_DIRECTION: Mapping[Better, tuple[str, str]] = {
    Better.LOWER: ("↓", "lower is better"),
    Better.HIGHER: ("↑", "higher is better"),
    Better.NEITHER: ("", ""),
}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.@%-]{1,120}")
LEVEL = 0.95
"""Of the intervals in a table whose head says so."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric."""

    key: str
    short: str
    """The key below its audit's name."""
    anchor: str
    name: str
    """What it is called in words; may be empty."""
    arrow: str
    direction: str
    value: str
    interval: str
    no_interval: str
    """Why there is none."""
    n: str
    note: str


def owner(key: str) -> str:
    """The audit that a metric or figure of this key belongs to."""
    return HOME.get(family(key), family(key))


def anchor(key: str) -> str:
    """What a link to a metric's row names; empty for a key that no address can hold."""
    return f"metric-{key}" if _PLAIN_KEY.fullmatch(key) else ""


def metric_row(report: Report, key: str, limits: Limits) -> MetricRow:
    """The row of one key; of what was not measured there is no value."""
    metric = report.metrics.get(key)
    named = limits.named(key)
    arrow, direction = ("", "") if metric is None else _DIRECTION[metric.better]
    value, interval = ("not measured", "") if metric is None else value_and_interval(metric)
    reason = "" if metric is None or metric.interval_reason is None else limits.sentence(metric.interval_reason)
    return MetricRow(
        key=named,
        short=named.removeprefix(f"{owner(key)}."),
        anchor="" if metric is None else anchor(key),
        name=plain_name(key),
        arrow=arrow,
        direction=direction,
        value=value,
        interval=interval,
        no_interval=reason,
        n="" if metric is None else f"{metric.n:,}",
        note="" if metric is None else _note(metric, limits),
    )


def plain_name(key: str) -> str:
    """What a key is called in words; empty where nobody wrote it down."""
    return next((name for pattern, name in NAMES if fnmatchcase(key, pattern)), "")


def _note(metric: Metric, limits: Limits) -> str:
    note = limits.sentence(metric.note)
    if metric.interval is None or metric.interval.level == LEVEL:
        return note
    return f"interval at {100 * metric.interval.level:g} %" + (f"; {note}" if note else "")
