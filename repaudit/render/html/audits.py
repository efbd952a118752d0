"""Audit by audit: its question, what came of it, its numbers and figures, and what could not be had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from repaudit.finding import NOT_NEEDED
from repaudit.render.attacks import attacks_line
from repaudit.render.headlines import shown_keys
from repaudit.render.html.bias import bias_remarks
from repaudit.render.html.classes import AUDIT as ACCURACY
from repaudit.render.html.classes import ClassTable, class_table
from repaudit.render.html.gradients import AUDIT as GRADIENTS
from repaudit.render.html.gradients import Gradients, gradients
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
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from repaudit.render.figures import Drawing
    from repaudit.render.html.limits import Limits
    from repaudit.report import Report

KEYS_AT_ONCE = 8
"""Keys that are named for one reason."""
FIRST = ("calibration-reliability", "calibration-null-band", "geometry-scatter", "robustness-radius-linf")
"""Drawings that people look for; the others follow in their own order."""
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
    unneeded: Listing[Missing]
    """What nobody misses."""
    classes: ClassTable | None
    mistakes: Mistakes | None
    gradients: Gradients | None


def audit_views(report: Report, drawings: Sequence[Drawing], limits: Limits) -> Listing[AuditView]:
    """A section for each audit, in the order in which they ran; metrics of none come last."""
    known = [audit.id for audit in report.audits]
    first = _by_audit(report, known, everything=False)
    every = _by_audit(report, known, everything=True)
    rest = AuditEntry(id=REST, version=0, status=AuditStatus.OK, params={}, images_count=0)
    entries = [*report.audits, *([rest] if REST in every and REST not in known else [])]
    shown = limits.cut(enumerate(entries), limits.audits)
    views = []
    for place, entry in shown.items:
        mine = first.get(entry.id, [])
        others = [key for key in every.get(entry.id, []) if key not in set(mine)]
        anchor = f"audit-{entry.id if _PLAIN_ID.fullmatch(entry.id) else place}"
        views.append(_view(report, entry, anchor, (mine, others), drawings, limits))
    return Listing(tuple(views), shown.left)


def _by_audit(report: Report, known: list[str], *, everything: bool) -> dict[str, list[str]]:
    """Keys by the audit that shows them; of strangers only what was measured."""
    found: dict[str, list[str]] = {}
    for key in shown_keys(report, everything=everything):
        home = owner(key)
        if home in known or key in report.metrics:
            found.setdefault(home if home in known else REST, []).append(key)
    return found


def _view(
    report: Report,
    entry: AuditEntry,
    anchor: str,
    keys: tuple[list[str], list[str]],
    drawings: Sequence[Drawing],
    limits: Limits,
) -> AuditView:
    first, rest = keys
    attacked = entry.id == "robustness" and bool(first)
    remarks = (attacks_line(report), battery_line(report)) if attacked else bias_remarks(report, entry.id)
    return AuditView(
        id=limits.named(entry.id),
        anchor=anchor,
        question=limits.sentence(entry.question or ""),
        trouble=_trouble(entry, limits),
        reading=tuple(limits.sentence(sentence) for sentence in sentences(report, entry.id)),
        remarks=tuple(limits.sentence(remark) for remark in remarks if remark),
        alarm=attacked and bool(failed_checks(report)),
        headlines=limits.cut(first).each(lambda key: metric_row(report, key, limits)),
        more=limits.cut(rest).each(lambda key: metric_row(report, key, limits)),
        figures=tuple(_figure(drawing) for drawing in sorted(drawings, key=_place) if drawing.audit == entry.id),
        checks=_checks(report, limits) if entry.id == MASKING else Listing((), 0),
        missing=_missing(entry, limits, needed=True),
        unneeded=_missing(entry, limits, needed=False),
        classes=class_table(report, limits) if entry.id == ACCURACY else None,
        mistakes=mistakes(report, limits) if entry.id == MISTAKES else None,
        gradients=gradients(report, limits) if entry.id == GRADIENTS else None,
    )


def _trouble(entry: AuditEntry, limits: Limits) -> str:
    if entry.status is AuditStatus.OK:
        return ""
    word = "It could not finish" if entry.status is AuditStatus.ERROR else "It was skipped"
    return f"{word}: {limits.sentence(entry.reason or 'no reason was given')}"


def _place(drawing: Drawing) -> int:
    return FIRST.index(drawing.name) if drawing.name in FIRST else len(FIRST)


def _figure(drawing: Drawing) -> FigureView:
    return FigureView(drawing.title, drawing.caption, Markup(drawing.svg))


_TONES = {"passed": "good", "failed": "bad"}


def _checks(report: Report, limits: Limits) -> Listing[CheckRow]:
    made = [(name, check) for name, check in report.figures.get(BATTERY, {}).items() if isinstance(check, dict)]
    return limits.cut(made).each(lambda pair: _check(*pair, limits))


def _check(name: str, check: Mapping[str, JsonValue], limits: Limits) -> CheckRow:
    value, threshold = one_number(check, "value"), one_number(check, "threshold")
    verdict = one_word(check, "verdict")
    return CheckRow(
        name=limits.named(name),
        verdict=limits.named(verdict),
        tone=_TONES.get(verdict, "plain"),
        value="–" if value is None else number(value),
        threshold="–" if threshold is None else number(threshold),
        sentence=limits.sentence(one_word(check, "sentence")),
    )


def _missing(entry: AuditEntry, limits: Limits, *, needed: bool) -> Listing[Missing]:
    """Keys of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in entry.skipped.items():
        if needed != reason.startswith(NOT_NEEDED):
            by_reason.setdefault(reason, []).append(key)

    def told(pair: tuple[str, list[str]]) -> Missing:
        reason, keys = pair
        named = limits.cut(keys, KEYS_AT_ONCE).each(limits.named)
        listed = ", ".join(named.items) + (f" and {named.left:,} more" if named.left else "")
        return Missing(listed, limits.sentence(reason))

    return limits.cut(by_reason.items()).each(told)
