"""What is excused until a day, in the words of the summary and of the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.report import Verdict


def waived_count(verdicts: Sequence[Verdict]) -> str:
    """Such as `1 of 3 gates waived until 2026-12-31`; empty where none is. Of several days the first is told."""
    waived = _waived(verdicts)
    if not waived:
        return ""
    days = _days(waived)
    until = f"{', the first' if len(days) > 1 else ''} until {days[0]}" if days else ""
    return f"{len(waived)} of {len(verdicts)} gates waived{until}"


def waived_step(verdicts: Sequence[Verdict]) -> str:
    """What comes of the gates that are excused; empty where none is."""
    waived = _waived(verdicts)
    if not waived:
        return ""
    days = _days(waived)
    when = f"after {days[0]}" if days else "when its waiver ends"
    return f"what is waived fails again {when}; mend it before then."


def _waived(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.outcome == Outcome.WAIVED]


def _days(waived: Sequence[Verdict]) -> list[str]:
    return sorted({str(verdict.waiver.until) for verdict in waived if verdict.waiver is not None})
