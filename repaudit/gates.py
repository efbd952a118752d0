"""Judges gates on a report.

    no level        the value itself is compared with the limit
    @95%            fails only if proven bad: even the favourable one-sided bound lies outside the limit
    @95% strict     passes only if proven good: even the unfavourable bound lies inside

What was not measured, or has no interval where the gate needs one, does not hold. While an attack left images
without a verdict (`error_share` > 0), a gate on its figures is at best unproven.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from repaudit.errors import InvalidProfile, nearest
from repaudit.finding import Better, Bounds, KeySpec, Unit
from repaudit.metrics.intervals import QUANTILES, Replicates, bound
from repaudit.profiles import Severity
from repaudit.report import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from repaudit.profiles import Gate
    from repaudit.report import Metric, Report

    _Side: TypeAlias = Literal["lower", "upper"]

HIGHEST = QUANTILES / (QUANTILES + 1)
"""The highest level at which resamples still give a bound."""
_ERROR_SHARE = "error_share"
_SIDES: Mapping[str, tuple[_Side, _Side]] = {"<=": ("lower", "upper"), ">=": ("upper", "lower")}
"""The favourable and the unfavourable bound by operator."""


@dataclass(frozen=True, slots=True)
class _Decision:
    outcome: Outcome
    bound: float | None
    reason: str


def check(gates: Sequence[Gate], declared: Sequence[KeySpec], elsewhere: Mapping[str, str] | None = None) -> None:
    """Refuses before anything is measured what could not be judged afterwards.

    Args:
        gates: of the profile.
        declared: what the profile's audits can yield; in a pattern `*` stands for one segment.
        elsewhere: by key pattern, what would make the audits yield it.

    Raises:
        InvalidProfile: a gate names no metric or several, needs a baseline, limits a fraction by a number
            over 1, or asks for a bound that the metric never has.
    """
    for gate in gates:
        found = _specs_of(gate, declared)
        _refuse_relative(gate, found[0].better if found else Better.NEITHER)
        if not found:
            for pattern, remedy in (elsewhere or {}).items():
                if _is_short_for(gate.metric, pattern):
                    raise InvalidProfile(f"gate `{gate.text}`: this profile does not measure {pattern}", remedy=remedy)
            known = [spec.pattern for spec in declared]
            raise _unknown_metric(gate, known, "the audits of this profile measure no")
        _refuse_ambiguous(gate, resolve(gate.metric, [spec.pattern for spec in declared]))
        _refuse_percentage(gate, found[0].unit)
        _refuse_bound(gate, found[0])


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
    skipped = {key: reason for audit in report.audits for key, reason in audit.skipped.items()}
    known = [spec.pattern for spec in declared]
    return tuple(_judge(report.metrics, skipped, gate, resolve(gate.metric, known)) for gate in gates)


def resolve(name: str, keys: Iterable[str]) -> list[str]:
    """The keys that a metric's full or short name means: itself, else all that end in it by whole segments."""
    known = list(keys)
    return [name] if name in known else [key for key in known if key.endswith(f".{name}")]


def _judge(metrics: Mapping[str, Metric], skipped: Mapping[str, str], gate: Gate, meant: Sequence[str]) -> Verdict:
    key, reason = _find(gate, metrics, skipped, meant)
    metric = metrics.get(key)
    _refuse_relative(gate, Better.NEITHER if metric is None else metric.better)
    if metric is None:
        decision = _Decision(Outcome.NOT_MEASURED, None, f"{key} was not measured: {reason}")
    else:
        _refuse_percentage(gate, metric.unit)
        decision = _decide(gate, key, metric)
        incomplete = metrics.get(f"{key.rpartition('.')[0]}.{_ERROR_SHARE}")
        if incomplete is not None and incomplete.value > 0 and not key.endswith(_ERROR_SHARE):
            decision = _without_proof(gate, key, decision, incomplete.value)
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
    _refuse_ambiguous(gate, found)
    if found:
        return found[0], skipped.get(found[0], "")
    families = [pattern for pattern in skipped if "*" in pattern and _is_short_for(name, pattern)]
    if families:
        return name, skipped[families[0]]
    if meant:
        return name, "its audit said nothing of it"
    raise _unknown_metric(gate, [*metrics, *exact], "this report has no")


def _specs_of(gate: Gate, declared: Sequence[KeySpec]) -> list[KeySpec]:
    """What is declared of the keys that a gate can mean: the exact ones, else those that fit a pattern."""
    exact = resolve(gate.metric, [spec.pattern for spec in declared])
    return [
        spec
        for spec in declared
        if (spec.pattern in exact if exact else "*" in spec.pattern and _is_short_for(gate.metric, spec.pattern))
    ]


def _decide(gate: Gate, key: str, metric: Metric) -> _Decision:
    if gate.level is not None:
        return _decide_by_bound(gate, key, metric, gate.level)
    said = f"{key} is {_beside(metric.value, gate.limit)}"
    if gate.holds(metric.value):
        return _Decision(Outcome.PASS, None, f"{said}.")
    return _Decision(Outcome.FAIL, None, f"{said}, {_outside(gate)}.")


def _decide_by_bound(gate: Gate, key: str, metric: Metric, level: float) -> _Decision:
    if metric.interval is None:
        reason = f"{key} is {_beside(metric.value, gate.limit)}, but it has no interval: {metric.interval_reason}."
        return _Decision(Outcome.NOT_MEASURED, None, reason)
    state = metric.interval.state
    if isinstance(state, Replicates) and level > HIGHEST:
        reason = f"{key} is {_beside(metric.value, gate.limit)}, but its resamples give {_no_bound(gate)}."
        return _Decision(Outcome.NOT_MEASURED, None, reason)
    good, bad = _SIDES[gate.operator]
    favourable, unfavourable = bound(state, level, good), bound(state, level, bad)
    said = f"{key} is {_beside(metric.value, gate.limit)}"
    side = f"one-sided {100 * level:.10g} % {bad} bound, {_beside(unfavourable, gate.limit)},"
    proven, inside = gate.holds(unfavourable), gate.holds(metric.value)
    if proven and inside:
        return _Decision(Outcome.PASS, unfavourable, f"{said}, and its {side} holds too.")
    if gate.holds(favourable):
        outcome = Outcome.FAIL if gate.strict else Outcome.UNPROVEN
        # The reflected bounds of a biased error may both lie beyond the value itself.
        doubt = f", {_outside(gate)}, whatever its bound" if proven else f", but its {side} is {_outside(gate)}"
        reason = f"{said}{doubt}: not proven with n = {metric.n:,}."
        return _Decision(outcome, unfavourable, reason)
    side = f"one-sided {100 * level:.10g} % {good} bound, {_beside(favourable, gate.limit)},"
    return _Decision(Outcome.FAIL, favourable, f"{said}; even its {side} is {_outside(gate)}.")


def _without_proof(gate: Gate, key: str, decision: _Decision, share: float) -> _Decision:
    """Takes the proof away from figures that leave images out."""
    if decision.outcome is not Outcome.PASS:
        return decision
    reason = f"{key} holds, but {100 * share:.2g} % of the images gave no finite logits: not proven."
    return _Decision(Outcome.FAIL if gate.strict else Outcome.UNPROVEN, decision.bound, reason)


def _refuse_bound(gate: Gate, spec: KeySpec) -> None:
    if gate.level is None:
        return
    if spec.bounds is Bounds.NONE:
        raise InvalidProfile(f"gate `{gate.text}`: {spec.pattern} never has an interval", remedy=gate.point_form)
    if spec.bounds is Bounds.RESAMPLED and gate.level > HIGHEST:
        raise InvalidProfile(
            f"gate `{gate.text}`: the resamples behind {spec.pattern} give {_no_bound(gate)}",
            remedy=gate.text.replace(f"@{100 * gate.level:.10g}%", f"@{100 * HIGHEST:.10g}%"),
        )


def _no_bound(gate: Gate) -> str:
    return f"no bound at {100 * (gate.level or 0):.10g} %, only up to {100 * HIGHEST:.10g} %"


def _refuse_relative(gate: Gate, better: str) -> None:
    if gate.relative:
        operator = {Better.LOWER: "<=", Better.HIGHER: ">="}.get(Better(better), "<= or >=")
        raise InvalidProfile(
            f"gate `{gate.text}`: worse() compares with a baseline report, which this version cannot take",
            remedy=f"a limit on the metric itself, such as {gate.metric} {operator} NUMBER @95%",
        )


def _refuse_ambiguous(gate: Gate, found: Sequence[str]) -> None:
    if len(found) > 1:
        raise InvalidProfile(
            f"gate `{gate.text}`: `{gate.metric}` is short for {len(found)} metrics",
            detail=", ".join(found),
            remedy=gate.text.replace(gate.metric, found[0], 1),
        )


def _refuse_percentage(gate: Gate, unit: str) -> None:
    if unit == Unit.FRACTION and gate.limit > 1:
        mended = f"{gate.limit / 100:.10g}" if gate.limit <= 100 else "NUMBER from 0 to 1"
        raise InvalidProfile(
            f"gate `{gate.text}`: {gate.metric} is a fraction, which lies between 0 and 1",
            remedy=gate.text.replace(gate.condition, f"{gate.operator} {mended}" + gate.text[len(gate.point_form) :]),
        )


def _unknown_metric(gate: Gate, known: Sequence[str], lead: str) -> InvalidProfile:
    shorts = {key.rpartition(".")[2]: key for key in known if not key.endswith("*")}
    near = nearest(gate.metric, [*known, *shorts], 1)
    return InvalidProfile(
        f"gate `{gate.text}`: {lead} metric `{gate.metric}`",
        remedy=gate.text.replace(gate.metric, near[0], 1) if near else "repaudit list metrics",
    )


def _is_short_for(name: str, pattern: str) -> bool:
    """Whether a full or short name fits a key pattern: `*` is one segment, a last `*` one or more."""
    asked, wanted = name.split("."), pattern.split(".")
    if wanted[-1] == "*" and len(asked) > len(wanted):
        asked = asked[: len(wanted)]
    if len(asked) > len(wanted):
        return False
    tail = wanted[len(wanted) - len(asked) :]
    if len(asked) < len(wanted) and set(tail) == {"*"}:
        return False
    return all(want in {"*", given} for given, want in zip(asked, tail, strict=True))


def _outside(gate: Gate) -> str:
    return f"{'above' if gate.operator == '<=' else 'below'} the limit {gate.limit:.10g}"


def _beside(value: float, limit: float) -> str:
    """The number with as many digits as it takes to tell it from the limit, three at least."""
    for digits in range(3, 17):
        text = f"{value:.{digits}g}"
        if value == limit or float(text) != limit:
            return text
    return repr(value)
