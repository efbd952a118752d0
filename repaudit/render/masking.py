"""What stands beside every robustness figure: whether the gradients behind it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from repaudit.render.plain import number, safe
from repaudit.report import AuditStatus

if TYPE_CHECKING:
    from repaudit.report import Report

AUDIT = "masking"
BATTERY = "masking.battery"
_PREFIX = "gradient masking: "


def battery_line(report: Report) -> str:
    """How the masking battery of this report came out, in one line of any length."""
    checks = _checks(report)
    if not checks:
        return f"{_PREFIX}not checked ({_why_not(report)})"
    made = made_checks(report)
    if not made:
        reason = safe(str(next(iter(checks.values())).get("sentence", "no reason given")), 300)
        return f"{_PREFIX}no check could be made ({reason})"
    failed = failed_checks(report)
    left = len(checks) - len(made)
    line = f"{_PREFIX}{len(made) - len(failed)} of {len(made)} checks passed"
    line += f" ({left} could not be made)" if left else ""
    if failed:
        line += "; failed: " + ", ".join(f"{safe(name)} ({_value(made[name])})" for name in failed)
    return line


def failed_checks(report: Report) -> list[str]:
    """Names of the checks that failed, in the battery's order."""
    return [name for name, check in _checks(report).items() if check.get("verdict") == "failed"]


def made_checks(report: Report) -> dict[str, Mapping[str, object]]:
    """The checks that could be made, by name, in the battery's order."""
    return {name: check for name, check in _checks(report).items() if check.get("verdict") != "skipped"}


def _checks(report: Report) -> dict[str, Mapping[str, object]]:
    figure = report.figures.get(BATTERY, {})
    return {name: check for name, check in figure.items() if isinstance(check, Mapping)}


def _why_not(report: Report) -> str:
    for audit in report.audits:
        if audit.id == AUDIT and audit.status is not AuditStatus.OK:
            word = "could not finish" if audit.status is AuditStatus.ERROR else "was skipped"
            return f"{AUDIT} {word}: {safe(audit.reason or 'no reason given', 300)}"
    return f"add the {AUDIT} audit"


def _value(check: Mapping[str, object]) -> str:
    value = check.get("value")
    return number(value) if isinstance(value, int | float) else "no value"
