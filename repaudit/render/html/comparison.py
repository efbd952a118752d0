"""The report beside the one that it was compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.render.html.numbers import plain_name
from repaudit.render.plain import number

if TYPE_CHECKING:
    from repaudit.render.html.limits import Limits, Listing
    from repaudit.report import Comparison, Report


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One metric in both reports."""

    key: str
    name: str
    baseline: str
    now: str
    worse: str
    interval: str
    no_interval: str
    pairs: str
    detectable: str


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """All that was compared."""

    model: str
    sha256: str
    """Of the baseline's report."""
    same_weights: bool
    notes: tuple[str, ...]
    rows: Listing[ComparedRow]


def comparison_view(report: Report, limits: Limits) -> ComparisonView | None:
    """The comparison, or None where the report has no baseline."""
    baseline = report.baseline
    if baseline is None:
        return None
    return ComparisonView(
        model=limits.named(baseline.model),
        sha256=limits.named(baseline.sha256),
        same_weights=baseline.weights_sha256 == report.model.weights_sha256,
        notes=limits.cut(baseline.notes).each(limits.sentence).items,
        rows=limits.cut(report.comparisons.items()).each(lambda pair: _row(*pair, limits)),
    )


def _row(key: str, compared: Comparison, limits: Limits) -> ComparedRow:
    interval = compared.interval
    return ComparedRow(
        key=limits.named(key),
        name=plain_name(key),
        baseline=number(compared.baseline),
        now=number(compared.value),
        worse=_signed(compared.worse),
        interval="" if interval is None else f"{_signed(interval.low)} – {_signed(interval.high)}",
        no_interval=limits.sentence(compared.interval_reason or ""),
        pairs=f"{compared.n:,}",
        detectable="–" if compared.detectable is None else number(compared.detectable),
    )


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)
