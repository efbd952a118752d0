"""Refuses before anything is measured what could not be judged afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.errors import InvalidProfile
from repaudit.gates.naming import is_short_for, refuse_ambiguous, resolve, unknown_metric
from repaudit.gates.refusing import refuse_bound, refuse_percentage, refuse_relative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.finding import KeySpec
    from repaudit.profiles import Gate


def check(
    gates: Sequence[Gate],
    declared: Sequence[KeySpec],
    elsewhere: Mapping[str, str] | None = None,
    *,
    baseline: bool = False,
) -> None:
    """Refuses before anything is measured what could not be judged afterwards.

    Args:
        gates: of the profile.
        declared: what the profile's audits can yield; in a pattern `*` stands for one segment.
        elsewhere: by key pattern, what would make the audits yield it.
        baseline: there is a report to compare with.

    Raises:
        InvalidProfile: a gate names no metric or several, needs a baseline that is not there, limits a fraction
            by a number over 1, or asks for a bound that the metric never has.
    """
    for gate in gates:
        found = _specs_of(gate, declared)
        if not found:
            for pattern, remedy in (elsewhere or {}).items():
                if is_short_for(gate.metric, pattern):
                    raise InvalidProfile(f"gate `{gate.text}`: this profile does not measure {pattern}", remedy=remedy)
            known = [spec.pattern for spec in declared]
            raise unknown_metric(gate, known, "the audits of this profile measure no")
        refuse_ambiguous(gate, resolve(gate.metric, [spec.pattern for spec in declared]))
        refuse_percentage(gate, found[0].unit)
        if gate.relative:
            refuse_relative(gate, _key(gate, found[0].pattern), found[0].better, baseline=baseline)
        else:
            refuse_bound(gate, found[0])


def _specs_of(gate: Gate, declared: Sequence[KeySpec]) -> list[KeySpec]:
    """What is declared of the keys that a gate can mean: the exact ones, else those that fit a pattern."""
    exact = resolve(gate.metric, [spec.pattern for spec in declared])
    return [
        spec
        for spec in declared
        if (spec.pattern in exact if exact else "*" in spec.pattern and is_short_for(gate.metric, spec.pattern))
    ]


def _key(gate: Gate, pattern: str) -> str:
    """The key that a gate means, its own name where the pattern leaves it open."""
    return gate.metric if "*" in pattern else pattern
