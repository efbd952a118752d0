"""Judges gates on a report.

    no level        the value itself is compared with the limit
    @95%            fails only if proven bad: even the favourable one-sided bound lies outside the limit
    @95% strict     passes only if proven good: even the unfavourable bound lies inside

What was not measured, or has no interval where the gate needs one, does not hold. While an attack left images
without a verdict (`error_share` > 0), a gate on its figures is at best unproven. A waiver excuses what does not hold
until its last day.
"""

from __future__ import annotations

from repaudit.gates.checking import check
from repaudit.gates.judging import judge
from repaudit.gates.naming import relative_keys, resolve
from repaudit.gates.refusing import HIGHEST, refuse_percentage, refuse_relative
from repaudit.gates.waiving import apply_waivers

__all__ = [
    "HIGHEST",
    "apply_waivers",
    "check",
    "judge",
    "refuse_percentage",
    "refuse_relative",
    "relative_keys",
    "resolve",
]
