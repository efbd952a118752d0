"""Gates that make no sense, whatever is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.errors import InvalidProfile
from repaudit.finding import Better, Bounds, KeySpec, Unit
from repaudit.metrics.intervals import QUANTILES
from repaudit.metrics.paired import PAIRED_STATISTICS, is_paired

if TYPE_CHECKING:
    from repaudit.profiles import Gate

HIGHEST = QUANTILES / (QUANTILES + 1)
"""The highest level at which resamples still give a bound."""

_NO_PERCENTAGE = 1.5
"""Up to here a limit over 1 is a slip of a fraction rather than a percentage."""


def refuse_percentage(gate: Gate, unit: str) -> None:
    """Refuses a fraction limited by a number over 1.

    Raises:
        InvalidProfile: with the fraction that was probably meant, where one was.
    """
    if unit == Unit.FRACTION and gate.limit > 1:
        mended = f"{gate.limit / 100:.10g}" if _NO_PERCENTAGE < gate.limit <= 100 else "NUMBER from 0 to 1"
        raise InvalidProfile(
            f"gate `{gate.text}`: {gate.metric} is a fraction, which lies between 0 and 1",
            remedy=gate.text.replace(gate.condition, f"{gate.operator} {mended}" + gate.text[len(gate.point_form) :]),
        )


def refuse_bound(gate: Gate, spec: KeySpec) -> None:
    """Refuses a level that the metric's interval never gives.

    Raises:
        InvalidProfile: with the point form, or the highest level.
    """
    if gate.level is None:
        return
    if spec.bounds is Bounds.NONE:
        raise InvalidProfile(f"gate `{gate.text}`: {spec.pattern} never has an interval", remedy=gate.point_form)
    if spec.bounds is Bounds.RESAMPLED and gate.level > HIGHEST:
        raise InvalidProfile(
            f"gate `{gate.text}`: the resamples behind {spec.pattern} give {no_bound(gate)}",
            remedy=gate.text.replace(f"@{100 * gate.level:.10g}%", f"@{100 * HIGHEST:.10g}%"),
        )


def refuse_relative(gate: Gate, key: str, better: str, *, baseline: bool) -> None:
    """Refuses a `worse(…)` that can never be judged.

    Args:
        gate: the gate.
        key: of its metric.
        better: which way of the metric is good.
        baseline: there is a report to compare with.

    Raises:
        InvalidProfile: no direction is bad, the per-image rows do not hold it, there is no baseline, or the level is
            beyond the resamples.
    """
    operator = ">=" if better == Better.HIGHER else "<="
    point_form = f"a limit on the metric itself, such as {gate.metric} {operator} NUMBER"
    if better == Better.NEITHER:
        raise InvalidProfile(f"gate `{gate.text}`: neither direction of {key} is worse", remedy=point_form)
    if not is_paired(key):
        raise InvalidProfile(
            f"gate `{gate.text}`: {key} cannot be compared image by image",
            detail="Of each image only what the per-image rows hold is known of the baseline.",
            remedy=point_form,
        )
    if not baseline:
        raise InvalidProfile(
            f"gate `{gate.text}`: worse() compares with a baseline, and there is none", remedy="--baseline REPORT"
        )
    if gate.level is not None and gate.level > HIGHEST and is_paired(key, PAIRED_STATISTICS):
        raise InvalidProfile(
            f"gate `{gate.text}`: the resamples behind worse({key}) give {no_bound(gate)}",
            remedy=gate.text.replace(f"@{100 * gate.level:.10g}%", f"@{100 * HIGHEST:.10g}%"),
        )


def no_bound(gate: Gate) -> str:
    """What resamples cannot give at the gate's level."""
    return f"no bound at {100 * (gate.level or 0):.10g} %, only up to {100 * HIGHEST:.10g} %"
