"""How gates were judged."""

from __future__ import annotations

from collections import Counter
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from repaudit.profiles import Severity
from repaudit.report.section import Section, Text

if TYPE_CHECKING:
    from collections.abc import Sequence


class Outcome(StrEnum):
    """What a gate says."""

    PASS = "pass"
    UNPROVEN = "pass unproven"
    """It holds as far as can be seen, but these images do not prove it."""
    FAIL = "fail"
    NOT_MEASURED = "not measured"
    WAIVED = "waived"
    """It failed or was not measured, and the profile excuses it until a day."""


class WaiverEntry(Section):
    """What excuses a gate."""

    until: date
    """The last day on which it does."""
    reason: Text
    """As the profile gives it."""


class Verdict(Section):
    """One gate and what came of it."""

    gate: Text
    """The condition as it was written."""
    metric: Text
    """The key that its metric resolved to."""
    level: Severity
    """`warn` never fails."""
    limit: float
    observed: float | None
    """The metric's value; null where it was not measured."""
    bound: float | None
    """The one-sided bound that decided; null where the value itself did."""
    outcome: Outcome | Text
    """A later minor version may name further outcomes."""
    failed: bool
    """Whether it makes the exit status 1."""
    reason: Text
    """One sentence with the number that decided."""
    waiver: WaiverEntry | None = None
    """What excuses the gate where the outcome is `waived`; else null."""


class VerdictSummary(Section):
    """All gates together."""

    status: Text
    """`pass`, `fail`, or `no gates`."""
    counts: dict[str, int]
    """Gates by outcome; those of level `warn` included."""

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> VerdictSummary:
        """The summary of some verdicts."""
        counts = Counter(str(verdict.outcome) for verdict in verdicts)
        failed = any(verdict.failed for verdict in verdicts)
        status = "fail" if failed else "pass" if verdicts else "no gates"
        return cls(status=status, counts={str(outcome): counts.pop(outcome, 0) for outcome in Outcome} | counts)
