"""Audit by audit: its question, what came of it, its numbers and figures, and what could not be had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from repaudit.render.attacks import attacks_line
from repaudit.render.headlines import shown_keys
from repaudit.render.html.classes import AUDIT as ACCURACY
from repaudit.render.html.classes import ClassTable, class_table
from repaudit.render.html.limits import Listing
from repaudit.render.html.mistakes import AUDIT as MISTAKES
from repaudit.render.html.mistakes import Mistakes, mistakes
from repaudit.render.html.numbers import MetricRow, metric_row, owner
from repaudit.render.html.series import one_number, one_word
from repaudit.render.masking import AUDIT as MASKING
from repaudit.render.masking import BATTERY, battery_line, failed_checks
from repaudit.render.plain import number
from repaudit.render.sentences import sentences
from repaudit.report import AuditEntry, AuditStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from repaudit.render.figures import Drawing
    from repaudit.render.html.limits import Limits
    from repaudit.report import Report

REST = "other"
"""Where metrics stand whose audit the report does not list."""
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True)
class FigureView:
    """A drawing with its words."""

    title: str
    caption: str
    svg: Markup
    """Which names and describes itself to screen readers."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check for masked gradients."""

    name: str
    verdict: str
    tone: str
    value: str
    threshold: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What was not measured, and why."""

    keys: str
    reason: str


@dataclass(frozen=True, slots=True)
class AuditView:
    """One audit's section."""

    id: str
    anchor: str
    question: str
    trouble: str
    """Why it was skipped or could not finish; mostly empty."""
    reading: tuple[str, ...]
    remarks: tuple[str, ...]
    """What must stand beside its numbers."""
    alarm: bool
    """Whether the remarks are bad news."""
    headlines: Listing[MetricRow]
    more: Listing[MetricRow]
    figures: tuple[FigureView, ...]
    checks: Listing[CheckRow]
    missing: Listing[Missing]
    classes: ClassTable | None
    mistakes: Mistakes | None


def audit_views(report: Report, drawings: Sequence[Drawing], limits: Limits) -> Listing[AuditView]:
    """A section for each audit, in the order in which they ran; metrics of none come last."""
    known = [audit.id for audit in report.audits]
    strangers = any(owner(key) not in known for key in report.metrics)
    rest = AuditEntry(id=REST, version=0, status=AuditStatus.OK, params={}, images_count=0)
    entries = [*report.audits, *([rest] if strangers else [])]
    shown = limits.cut(enumerate(entries), limits.audits)
    views = tuple(_view(report, entry, place, known, drawings, limits) for place, entry in shown.items)
    return Listing(views, shown.left)


def _view(
    report: Report, entry: AuditEntry, place: int, known: list[str], drawings: Sequence[Drawing], limits: Limits
) -> AuditView:
    def mine(key: str) -> bool:
        return owner(key) == entry.id if entry.version else owner(key) not in known and key in report.metrics

    first = [key for key in shown_keys(report, everything=False) if mine(key)]
    rest = [key for key in shown_keys(report, everything=True) if mine(key) and key not in set(first)]
    attacked = entry.id == "robustness" and bool(first)
    remarks = (attacks_line(report), battery_line(report)) if attacked else ()
    return AuditView(
        id=limits.named(entry.id),
        anchor=f"audit-{entry.id if _PLAIN_ID.fullmatch(entry.id) else place}",
        question=limits.sentence(entry.question or ""),
        trouble=_trouble(entry, limits),
        reading=tuple(limits.sentence(sentence) for sentence in sentences(report, entry.id)),
        remarks=tuple(limits.sentence(remark) for remark in remarks if remark),
        alarm=bool(failed_checks(report)),
        headlines=limits.cut(metric_row(report, key, limits) for key in first),
        more=limits.cut(metric_row(report, key, limits) for key in rest),
        figures=tuple(_figure(drawing) for drawing in drawings if drawing.audit == entry.id),
        checks=limits.cut(_checks(report, limits) if entry.id == MASKING else ()),
        missing=limits.cut(_missing(entry.skipped, limits)),
        classes=class_table(report, limits) if entry.id == ACCURACY else None,
        mistakes=mistakes(report, limits) if entry.id == MISTAKES else None,
    )


def _trouble(entry: AuditEntry, limits: Limits) -> str:
    if entry.status is AuditStatus.OK:
        return ""
    word = "It could not finish" if entry.status is AuditStatus.ERROR else "It was skipped"
    return f"{word}: {limits.sentence(entry.reason or 'no reason was given')}"


def _figure(drawing: Drawing) -> FigureView:
    return FigureView(drawing.title, drawing.caption, Markup(drawing.svg))


_TONES = {"passed": "good", "failed": "bad"}


def _checks(report: Report, limits: Limits) -> Iterator[CheckRow]:
    for name, check in report.figures.get(BATTERY, {}).items():
        if isinstance(check, dict):
            value, threshold = one_number(check, "value"), one_number(check, "threshold")
            verdict = one_word(check, "verdict")
            yield CheckRow(
                name=limits.named(name),
                verdict=limits.named(verdict),
                tone=_TONES.get(verdict, "plain"),
                value="–" if value is None else number(value),
                threshold="–" if threshold is None else number(threshold),
                sentence=limits.sentence(one_word(check, "sentence")),
            )


def _missing(skipped: Mapping[str, str], limits: Limits) -> Iterator[Missing]:
    """Keys of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in skipped.items():
        by_reason.setdefault(reason, []).append(key)
    for reason, keys in by_reason.items():
        named = limits.cut((limits.named(key) for key in keys), 8)
        told = ", ".join(named.items) + (f" and {named.left:,} more" if named.left else "")
        yield Missing(told, limits.sentence(reason))
