"""How the gates stand, in one line of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.plain import number_beside, safe
from repaudit.render.readings import BAD
from repaudit.render.waived import waived_count
from repaudit.report import Outcome, RunStatus

if TYPE_CHECKING:
    from repaudit.report import Report, Verdict

NAMED = 3
"""Failed gates that the line names."""


def summary_line(report: Report) -> str:
    """How the gates stand, which failed, and whether the scan came to its end."""
    said = _gates(report)
    if report.run.status is not RunStatus.COMPLETE:
        said += f" · {report.run.status}: {safe(report.run.message or 'not all of it was measured', 300)}"
    return said


def _gates(report: Report) -> str:
    verdicts = report.gates
    failed = [verdict for verdict in verdicts if verdict.failed]
    if not verdicts:
        return "no gates were set"
    waived = waived_count(verdicts)
    if failed:
        named = ", ".join(_failure(verdict) for verdict in failed[:NAMED])
        said = f"{len(failed)} of {len(verdicts)} gates failed: {named}" + (" …" if len(failed) > NAMED else "")
        return f"{said} · {waived}" if waived else said
    warned = sum(verdict.outcome in BAD and not verdict.failed for verdict in verdicts)
    unproven = sum(verdict.outcome == Outcome.UNPROVEN for verdict in verdicts)
    if waived:
        others = ((warned, "only warned"), (unproven, "unproven"))
        return ", ".join([waived, *(f"{count} {word}" for count, word in others if count)])
    if warned:
        said = f"{warned} of {len(verdicts)} gates only warned"
        return f"{said}, {unproven} hold{'s' * (unproven == 1)} unproven" if unproven else said
    if len(verdicts) == 1:
        return "the gate holds, unproven" if unproven else "the gate holds"
    every = "both" if len(verdicts) == 2 else f"all {len(verdicts)}"
    return f"{every} gates hold" + (f", {unproven} of them unproven" if unproven else "")


def _failure(verdict: Verdict) -> str:
    value = "not measured" if verdict.observed is None else number_beside(verdict.observed, verdict.limit)
    if verdict.observed is not None and verdict.outcome == Outcome.NOT_MEASURED:
        value += ", which has no bound"
    elif verdict.observed is not None and verdict.gate.endswith(" strict") and _holds(verdict, verdict.observed):
        value += ", not proven"
    return f"{safe(verdict.gate)} ({value})"


def _holds(verdict: Verdict, observed: float) -> bool:
    """Whether the value itself lies on the good side, whatever its bound says."""
    return observed <= verdict.limit if "<=" in verdict.gate else observed >= verdict.limit
