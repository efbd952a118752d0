"""The whole page, as detailed as fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.render.html.audits import AuditView, audit_views
from repaudit.render.html.comparison import ComparisonView, comparison_view
from repaudit.render.html.limits import LEVELS, Limits, Listing
from repaudit.render.html.provenance import Fact, Provenance, key_facts, provenance
from repaudit.render.html.verdict import VerdictView, verdict_view
from repaudit.render.page import page, rendered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.render.figures import Drawing
    from repaudit.report import Report

LARGEST_PAGE = 2_000_000
"""Bytes."""
WARNINGS_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Why:
    """What one audit found, in a sentence."""

    audit: str
    anchor: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ReportView:
    """Everything that the templates show."""

    verdict: VerdictView
    facts: tuple[Fact, ...]
    why: tuple[Why, ...]
    warnings: Listing[str]
    """Those that are seen at once."""
    more_warnings: Listing[str]
    audits: Listing[AuditView]
    comparison: ComparisonView | None
    provenance: Provenance
    drawings_left: int
    """Figures for which there was no room."""


def to_html(report: Report) -> str:
    """One HTML file that needs nothing else, below 2 MB whatever the report holds.

    Raises:
        ValueError: the drawings alone are larger than the page may be.
    """
    from repaudit.render.figures import drawings

    drawn = drawings(report)
    for limits in LEVELS:
        text = _text(report, drawn, limits)
        if len(text.encode()) < LARGEST_PAGE:
            return text
    raise ValueError(f"the page of {report.model.resolved[:100]} has {len(text.encode()):,} bytes")


def _text(report: Report, drawn: Sequence[Drawing], limits: Limits) -> str:
    view = _view(report, drawn, limits)
    body = rendered("report.html", view=view)
    model, data = limits.named(report.model.resolved), limits.named(report.data.ref)
    return page(f"{model} on {data}", body)


def _view(report: Report, drawn: Sequence[Drawing], limits: Limits) -> ReportView:
    fitting = tuple(_fitting(drawn, limits.figures))
    audits = audit_views(report, fitting, limits)
    told = [warning.message for warning in report.warnings]
    return ReportView(
        verdict=verdict_view(report, limits),
        facts=key_facts(report, limits),
        why=tuple(Why(audit.id, audit.anchor, audit.reading[0]) for audit in audits.items if audit.reading),
        warnings=limits.cut(told, WARNINGS_AT_ONCE).each(limits.sentence),
        more_warnings=limits.cut(told[WARNINGS_AT_ONCE:]).each(limits.sentence),
        audits=audits,
        comparison=comparison_view(report, limits),
        provenance=provenance(report, limits),
        drawings_left=len(drawn) - len(fitting),
    )


def _fitting(drawn: Sequence[Drawing], room: int) -> Iterator[Drawing]:
    for drawing in drawn:
        size = len(drawing.svg.encode())
        if size <= room:
            room -= size
            yield drawing
