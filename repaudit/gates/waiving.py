"""Waivers: which failed gates a profile excuses on a day, and what there is to say of the waivers themselves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from repaudit.errors import nearest
from repaudit.gates.naming import resolve
from repaudit.report import Outcome, WaiverEntry, WarningEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from repaudit.profiles import Gate, Waiver
    from repaudit.report import Report, Verdict

SOON = timedelta(days=14)
"""So long before its last day a waiver that is needed is warned of."""
WITHOUT_GATE, NOT_NEEDED, EXPIRES_SOON = "waiver-without-gate", "waiver-not-needed", "waiver-expires-soon"
_EXCUSABLE = {Outcome.FAIL, Outcome.NOT_MEASURED}
_RELATIVE = re.compile(r"worse\(\s*(\S+?)\s*\)")


def apply_waivers(report: Report, gates: Sequence[Gate], waivers: Sequence[Waiver], today: date) -> Report:
    """The judged report, with failures excused that a waiver excuses on that day, and warnings about the waivers.

    Of several waivers for one gate the one that lasts longest counts. Warnings of an earlier judgement give way.

    Args:
        report: with one verdict a gate, in their order.
        gates: that it was judged by.
        waivers: of the same profile.
        today: in UTC; recorded as `run.judged_on`.
    """
    verdicts = report.gates
    matched = [(waiver, _rows(waiver.gate, gates, verdicts)) for waiver in waivers]
    names = (report.model.ref, report.model.resolved)
    meant = [(waiver, rows) for waiver, rows in matched if waiver.concerns(*names)]
    longest = [
        max((waiver for waiver, rows in meant if row in rows), key=lambda waiver: waiver.until, default=None)
        for row in range(len(verdicts))
    ]
    excused = [_excused(verdict, waiver, today) for verdict, waiver in zip(verdicts, longest, strict=True)]
    remarks = [_without_gate(waiver, gates, verdicts) for waiver, rows in matched if not rows]
    for waiver, rows in meant:
        if rows:
            failing = [row for row in rows if verdicts[row].outcome in _EXCUSABLE]
            needed = any(longest[row] is waiver for row in failing)
            remarks += _expires_soon(waiver, today) if needed else _not_needed(waiver, holds=not failing)
    kept = [warning for warning in report.warnings if warning.code not in {WITHOUT_GATE, NOT_NEEDED, EXPIRES_SOON}]
    run = report.run.model_copy(update={"judged_on": today})
    return report.with_verdicts(excused).model_copy(update={"run": run, "warnings": [*kept, *remarks]})


def _rows(name: str, gates: Sequence[Gate], verdicts: Sequence[Verdict]) -> list[int]:
    """The gates of this text, else those on the one metric that the name means."""
    exact = [row for row, gate in enumerate(gates) if gate.text == name]
    if exact:
        return exact
    relative = _RELATIVE.fullmatch(name)
    keys = _keys(relative[1] if relative else name, gates, verdicts)
    return [
        row
        for row, verdict in enumerate(verdicts)
        if len(keys) == 1 and verdict.metric in keys and (relative is None or gates[row].relative)
    ]


def _keys(name: str, gates: Sequence[Gate], verdicts: Sequence[Verdict]) -> list[str]:
    """The metrics of gates that a name means: as a gate writes it, else by its ending."""
    written = {verdict.metric for gate, verdict in zip(gates, verdicts, strict=True) if gate.metric == name}
    return sorted(written) or resolve(name, sorted({verdict.metric for verdict in verdicts}))


def _excused(verdict: Verdict, waiver: Waiver | None, today: date) -> Verdict:
    if waiver is None or verdict.outcome not in _EXCUSABLE:
        return verdict
    told = verdict.reason.removesuffix(".")
    if today > waiver.until:
        return verdict.model_copy(update={"reason": f"{told}; its waiver expired on {waiver.until}."})
    entry = WaiverEntry(until=waiver.until, reason=waiver.reason)
    reason = f"{told}; waived until {waiver.until}: {' '.join(entry.reason.split())}"
    return verdict.model_copy(update={"outcome": Outcome.WAIVED, "failed": False, "reason": reason, "waiver": entry})


def _without_gate(waiver: Waiver, gates: Sequence[Gate], verdicts: Sequence[Verdict]) -> WarningEntry:
    relative = _RELATIVE.fullmatch(waiver.gate)
    keys = _keys(relative[1] if relative else waiver.gate, gates, verdicts)
    if len(keys) > 1:
        why = f"its name is short for {', '.join(keys)}; name one"
    else:
        near = nearest(waiver.gate, [name for gate in gates for name in (gate.text, gate.metric)], 1)
        why = f"nearest: `{near[0]}`" if near else "take it out of the profile"
    return WarningEntry(code=WITHOUT_GATE, message=f"{_called(waiver)} matches no gate and excuses nothing: {why}")


def _not_needed(waiver: Waiver, *, holds: bool) -> list[WarningEntry]:
    why = "what it excuses holds" if holds else "another waiver of the gate lasts longer"
    message = f"{_called(waiver)} is not needed: {why}; take it out of the profile"
    return [WarningEntry(code=NOT_NEEDED, message=message)]


def _expires_soon(waiver: Waiver, today: date) -> list[WarningEntry]:
    if not timedelta() <= waiver.until - today <= SOON:
        return []
    message = f"{_called(waiver)} ends soon: after that day the gate fails"
    return [WarningEntry(code=EXPIRES_SOON, message=message)]


def _called(waiver: Waiver) -> str:
    return f"the waiver of `{waiver.gate}` until {waiver.until}"
