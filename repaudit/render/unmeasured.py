"""What a scan could not measure, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import NOT_NEEDED
from repaudit.render.plain import safe
from repaudit.report import AuditStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.report import Report

NAMED = 4
"""Metrics that a sentence names of those which lack one and the same thing."""


def unmeasured(report: Report, *, everything: bool = False) -> Iterator[str]:
    """A sentence an audit that did not end well, or a reason for which metrics are missing; safe to print.

    Args:
        report: whose audits are looked at.
        everything: also what nobody misses.
    """
    for audit in report.audits:
        if audit.status is not AuditStatus.OK:
            word = "could not finish" if audit.status is AuditStatus.ERROR else "skipped"
            yield f"{safe(audit.id)} {word}: {safe(audit.reason or 'no reason given', 400)}"
            continue
        by_reason: dict[str, list[str]] = {}
        for key, reason in audit.skipped.items():
            if everything or not reason.startswith(NOT_NEEDED):
                by_reason.setdefault(reason, []).append(safe(key))
        for reason, keys in by_reason.items():
            named = ", ".join(keys[:NAMED]) + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")
            yield f"{named}: {safe(reason, 400)}"
