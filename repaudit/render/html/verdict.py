"""What a reader must know first: whether the model may ship, and what decided it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from repaudit.profiles import Severity
from repaudit.render.html.numbers import anchor
from repaudit.render.masking import battery_line, failed_checks
from repaudit.render.plain import number, number_beside, value_and_interval
from repaudit.render.readings import next_step
from repaudit.render.summary import summary_line
from repaudit.render.wording import only_warns, verdict_word
from repaudit.report import Outcome, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repaudit.render.html.limits import Limits, Listing
    from repaudit.report import Report, Verdict

EXPLAINED = 3
"""Gates whose reasons stand beside the verdict; all stand in the table."""


class Tone(StrEnum):
    """What a colour and a sign say beside a word."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    PLAIN = "plain"


SIGNS: Mapping[Tone, str] = {Tone.GOOD: "✓", Tone.WARN: "!", Tone.BAD: "✗", Tone.PLAIN: "?"}
_TONES: Mapping[str, Tone] = {
    Outcome.PASS: Tone.GOOD,
    Outcome.UNPROVEN: Tone.WARN,
    Outcome.WAIVED: Tone.WARN,
    Outcome.FAIL: Tone.BAD,
    Outcome.NOT_MEASURED: Tone.BAD,
}


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate."""

    gate: str
    metric: str
    anchor: str
    """Where its metric stands in the page; empty where it has no place."""
    observed: str
    interval: str
    bound: str
    word: str
    tone: Tone
    reason: str
    waiver: str
    """Why it is excused; empty where it is not."""


@dataclass(frozen=True, slots=True)
class VerdictView:
    """The head of the page."""

    word: str
    tone: Tone
    sign: str
    sentence: str
    """How the gates stand."""
    reasons: tuple[str, ...]
    """What decided it, sentence by sentence."""
    caution: str
    """What makes the gates on robustness worthless; mostly empty."""
    next_step: str
    gates: Listing[GateRow]
    """Failures first, then what did not simply pass."""


def verdict_view(report: Report, limits: Limits) -> VerdictView:
    """The verdict on a report; one that is not complete has none."""
    word, tone = _verdict(report)
    ordered = sorted(report.gates, key=_gravity)
    telling = [verdict for verdict in ordered if verdict.failed or verdict.outcome != Outcome.PASS] or ordered
    masked = failed_checks(report) and any(verdict.metric.startswith("robustness.") for verdict in report.gates)
    return VerdictView(
        word=word,
        tone=tone,
        sign=SIGNS[tone],
        sentence=limits.sentence(summary_line(report)),
        reasons=tuple(limits.sentence(_reason(verdict)) for verdict in telling[:EXPLAINED]),
        caution=limits.sentence(battery_line(report)) if masked else "",
        next_step=limits.sentence(next_step(report)),
        gates=limits.cut(ordered).each(lambda verdict: _row(report, verdict, limits)),
    )


def _reason(verdict: Verdict) -> str:
    """Of a gate that simply passes, its condition and what was found, such as `top1 >= 0.90: 0.947`."""
    if verdict.outcome == Outcome.PASS and verdict.observed is not None:
        bound = "" if verdict.bound is None else f", bound {number_beside(verdict.bound, verdict.limit)}"
        return f"{verdict.gate}: {number_beside(verdict.observed, verdict.limit)}{bound}"
    return verdict.reason


def _verdict(report: Report) -> tuple[str, Tone]:
    verdicts = report.gates
    if report.run.status is not RunStatus.COMPLETE:
        return "Not finished: no verdict", Tone.BAD
    if not verdicts:
        return "No gates, no verdict", Tone.PLAIN
    if any(verdict.failed for verdict in verdicts):
        return "Fails", Tone.BAD
    if failed_checks(report) and any(verdict.metric.startswith("robustness.") for verdict in verdicts):
        return "Passes, but its gradients are masked", Tone.WARN
    if all(verdict.outcome == Outcome.PASS for verdict in verdicts):
        return "Passes", Tone.GOOD
    for word, outcome in (("with waivers", Outcome.WAIVED), ("unproven", Outcome.UNPROVEN)):
        if any(verdict.outcome == outcome for verdict in verdicts):
            return f"Passes, {word}", Tone.WARN
    return "Passes, with warnings", Tone.WARN


def _gravity(verdict: Verdict) -> int:
    """0 for a failure, 2 for a plain pass, 1 for all between."""
    return 0 if verdict.failed else 2 if verdict.outcome == Outcome.PASS else 1


def _row(report: Report, verdict: Verdict, limits: Limits) -> GateRow:
    relative = verdict.gate.lstrip().startswith("worse")
    compared = report.comparisons.get(verdict.metric) if relative else None
    metric = report.metrics.get(verdict.metric)
    interval = ""
    if compared is not None and compared.interval is not None:
        interval = f"{number(compared.interval.low)} – {number(compared.interval.high)}"
    elif not relative and metric is not None:
        _, interval = value_and_interval(metric)
    waiver = verdict.waiver
    return GateRow(
        gate=limits.named(verdict.gate),
        metric=limits.named(verdict.metric),
        anchor=anchor(verdict.metric) if metric is not None else "",
        observed="–" if verdict.observed is None else number_beside(verdict.observed, verdict.limit),
        interval=interval,
        bound="" if verdict.bound is None else number(verdict.bound),
        word=limits.named(verdict_word(verdict)),
        tone=_tone(verdict),
        reason=limits.sentence(verdict.reason),
        waiver="" if waiver is None else limits.sentence(waiver.reason),
    )


def _tone(verdict: Verdict) -> Tone:
    if only_warns(verdict) and verdict.level is Severity.WARN:
        return Tone.WARN
    return _TONES.get(verdict.outcome, Tone.BAD if verdict.failed else Tone.PLAIN)
