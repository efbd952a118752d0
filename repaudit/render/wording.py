"""How verdicts are called where there are no colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.profiles import Severity
from repaudit.render.plain import safe
from repaudit.render.readings import BAD
from repaudit.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repaudit.report import Verdict

_WORDS: Mapping[str, str] = {
    Outcome.PASS: "pass",
    Outcome.UNPROVEN: "pass ~",
    Outcome.FAIL: "FAIL",
    Outcome.NOT_MEASURED: "NOT MEASURED",
}


def verdict_word(verdict: Verdict) -> str:
    """`FAIL`, `pass ~`, `waived until 2026-12-31` …; an outcome that a later minor version added is shown as it is."""
    if only_warns(verdict):
        return f"warn: {verdict.outcome}"
    if verdict.outcome == Outcome.WAIVED and verdict.waiver is not None:
        return f"waived until {verdict.waiver.until}"
    return _WORDS.get(verdict.outcome, safe(verdict.outcome))


def only_warns(verdict: Verdict) -> bool:
    """Whether it would fail if its level were not `warn`."""
    return verdict.level is Severity.WARN and verdict.outcome in BAD
