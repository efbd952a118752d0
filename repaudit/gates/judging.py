"""How gates come out on a report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from repaudit.finding import Better
from repaudit.gates.naming import is_short_for, refuse_ambiguous, resolve, unknown_metric
from repaudit.gates.refusing import HIGHEST, no_bound, refuse_percentage, refuse_relative
from repaudit.gates.telling import beside, plain
from repaudit.metrics.intervals import Replicates, bound
from repaudit.metrics.paired import Difference, detectable
from repaudit.profiles import Severity
from repaudit.report import Metric, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.finding import KeySpec
    from repaudit.profiles import Gate
    from repaudit.report import Comparison, Report

    _Side: TypeAlias = Literal["lower", "upper"]

_ERROR_SHARE = "error_share"
_SIDES: Mapping[str, tuple[_Side, _Side]] = {"<=": ("lower", "upper"), ">=": ("upper", "lower")}
"""The favourable and the unfavourable bound by operator."""


@dataclass(frozen=True, slots=True)
class _Decision:
    outcome: Outcome
    bound: float | None
    reason: str


def judge(report: Report, gates: Sequence[Gate], declared: Sequence[KeySpec] = ()) -> tuple[Verdict, ...]:
    """One verdict a gate, in their order.

    Args:
        report: of this scan, or a saved one.
        gates: that `check` let pass, or any others for a saved report.
        declared: what `check` was given; without it names mean what the report itself has.

    Raises:
        InvalidProfile: what was not declared does not fit: a gate names an unknown or ambiguous metric,
            needs a baseline, or limits a fraction by a number over 1.
    """
    known = [spec.pattern for spec in declared]
    return tuple(_judge(report, gate, resolve(gate.metric, known)) for gate in gates)


def _judge(report: Report, gate: Gate, meant: Sequence[str]) -> Verdict:
    metrics = report.metrics
    skipped = {key: reason for audit in report.audits for key, reason in audit.skipped.items()}
    key, reason = _find(gate, metrics, skipped, meant)
    metric = metrics.get(key)
    if gate.relative and metric is not None:
        refuse_relative(gate, key, metric.better, baseline=report.baseline is not None)
        refuse_percentage(gate, metric.unit)
        metric, decision = _decide_beside(gate, key, report.comparisons.get(key), metric.n)
    elif metric is None:
        decision = _Decision(Outcome.NOT_MEASURED, None, f"{key} was not measured: {reason}")
    else:
        refuse_percentage(gate, metric.unit)
        decision = _decide(gate, key, metric)
    if metric is not None and not key.endswith(_ERROR_SHARE):
        decision = _without_proof(gate, decision, _undecided(report, gate, key))
    bad = decision.outcome in {Outcome.FAIL, Outcome.NOT_MEASURED}
    return Verdict(
        gate=gate.text,
        metric=key,
        level=gate.severity,
        limit=gate.limit,
        observed=None if metric is None else metric.value,
        bound=decision.bound,
        outcome=decision.outcome,
        failed=bad and gate.severity is Severity.FAIL,
        reason=decision.reason,
    )


def _find(
    gate: Gate, metrics: Mapping[str, Metric], skipped: Mapping[str, str], meant: Sequence[str]
) -> tuple[str, str]:
    """The key that a gate means, and the reason why it was not measured, where it was not."""
    exact = [key for key in skipped if "*" not in key and key not in metrics]
    name = meant[0] if len(meant) == 1 else gate.metric
    found = resolve(name, [*metrics, *exact])
    refuse_ambiguous(gate, found)
    if found:
        return found[0], skipped.get(found[0], "")
    families = [pattern for pattern in skipped if "*" in pattern and is_short_for(name, pattern)]
    if families:
        return name, skipped[families[0]]
    if meant:
        return name, "its audit said nothing of it"
    raise unknown_metric(gate, [*metrics, *exact], "this report has no")


def _decide(gate: Gate, key: str, metric: Metric) -> _Decision:
    if gate.level is not None:
        return _decide_by_bound(gate, key, metric, gate.level)
    said = f"{key} is {beside(metric.value, gate.limit)}"
    if gate.holds(metric.value):
        return _Decision(Outcome.PASS, None, f"{said}.")
    return _Decision(Outcome.FAIL, None, f"{said}, {_outside(gate)}.")


def _decide_beside(gate: Gate, key: str, comparison: Comparison | None, images: int) -> tuple[Metric | None, _Decision]:
    """By how much the metric is worse than the baseline's, and what the gate says to that."""
    name = f"worse({key})"
    if comparison is None:
        return None, _Decision(
            Outcome.NOT_MEASURED, None, f"{name} was not measured: the baseline lacks it, or no image counts in both"
        )
    worse = Metric(
        value=comparison.worse,
        unit=comparison.unit,
        better=Better.LOWER,
        n=comparison.n,
        interval=comparison.interval,
        interval_reason=comparison.interval_reason,
        note="",
    )
    decision = _decide(gate, name, worse)
    whose = "" if comparison.n == images else "over all images of each: "  # else their difference would not add up
    values = f" ({whose}{plain(comparison.baseline)} before, {plain(comparison.value)} now)"
    found = _detectable(gate, worse)
    return worse, replace(decision, reason=f"{decision.reason.removesuffix('.')}{values}.{found}")


def _detectable(gate: Gate, worse: Metric) -> str:
    """How large a worsening so many pairs can tell, at the gate's own level."""
    if worse.interval is None:
        return ""
    level = 0.95 if gate.level is None else gate.level
    far = plain(detectable(Difference(worse.value, worse.interval, worse.n), level))
    told = f" On {worse.n:,} pairs"
    if gate.level is None:
        return f"{told} @95% would tell a true worsening by {far} beyond the limit four times of five."
    if gate.strict:
        return f"{told} a model passes four times of five only if its true worsening is {far} below the limit."
    return f"{told} a true worsening by {far} beyond the limit fails this gate four times of five."


def _decide_by_bound(gate: Gate, key: str, metric: Metric, level: float) -> _Decision:
    if metric.interval is None:
        reason = f"{key} is {beside(metric.value, gate.limit)}, but it has no interval: {metric.interval_reason}."
        return _Decision(Outcome.NOT_MEASURED, None, reason)
    state = metric.interval.state
    if isinstance(state, Replicates) and level > HIGHEST:
        reason = f"{key} is {beside(metric.value, gate.limit)}, but its resamples give {no_bound(gate)}."
        return _Decision(Outcome.NOT_MEASURED, None, reason)
    good, bad = _SIDES[gate.operator]
    favourable, unfavourable = bound(state, level, good), bound(state, level, bad)
    said = f"{key} is {beside(metric.value, gate.limit)}"
    side = f"one-sided {100 * level:.10g} % {bad} bound, {beside(unfavourable, gate.limit)},"
    proven, inside = gate.holds(unfavourable), gate.holds(metric.value)
    if proven and inside:
        return _Decision(Outcome.PASS, unfavourable, f"{said}, and its {side} holds too.")
    if gate.holds(favourable):
        outcome = Outcome.FAIL if gate.strict else Outcome.UNPROVEN
        # The reflected bounds of a biased error may both lie beyond the value itself.
        doubt = f", {_outside(gate)}, whatever its bound" if proven else f", but its {side} is {_outside(gate)}"
        reason = f"{said}{doubt}: not proven with n = {metric.n:,}."
        return _Decision(outcome, unfavourable, reason)
    side = f"one-sided {100 * level:.10g} % {good} bound, {beside(favourable, gate.limit)},"
    return _Decision(Outcome.FAIL, favourable, f"{said}; even its {side} is {_outside(gate)}.")


def _undecided(report: Report, gate: Gate, key: str) -> str:
    """Whose images got no verdict, where any did not; a figure beside a baseline rests on the baseline's too."""
    incomplete = report.metrics.get(f"{key.rpartition('.')[0]}.{_ERROR_SHARE}")
    compared = report.comparisons.get(key) if gate.relative else None
    theirs = None if compared is None else compared.baseline_error_share
    shares = {
        "of the images": 0.0 if incomplete is None else incomplete.value,
        "of the baseline's images": theirs or 0.0,
    }
    return " and ".join(f"{100 * share:.2g} % {whose}" for whose, share in shares.items() if share > 0)


def _without_proof(gate: Gate, decision: _Decision, undecided: str) -> _Decision:
    """Takes the proof away from figures that leave images out."""
    if not undecided or decision.outcome is not Outcome.PASS:
        return decision
    reason = f"{decision.reason.removesuffix('.')}; but {undecided} gave no finite logits: not proven."
    return _Decision(Outcome.FAIL if gate.strict else Outcome.UNPROVEN, decision.bound, reason)


def _outside(gate: Gate) -> str:
    return f"{'above' if gate.operator == '<=' else 'below'} the limit {gate.limit:.10g}"
