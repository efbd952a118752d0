"""The grammar of gates: one condition a line.

gate      := condition number [ "@" level "%" [ "strict" ] ]
condition := metric "<=" | metric ">=" | "worse(" metric ")" "<="
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, cast

from repaudit.errors import InvalidProfile, nearest

_METRIC = r"[A-Za-z0-9_][\w.@-]*"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_GATE = re.compile(
    rf"\s*(?:worse\(\s*(?P<relative>{_METRIC})\s*\)|(?P<metric>{_METRIC}))"
    rf"\s*(?P<operator><=|>=)\s*(?P<limit>{_NUMBER})"
    r"(?:\s*@\s*(?P<level>\d+(?:\.\d+)?)\s*%(?P<strict>\s+strict)?)?\s*",
    re.ASCII,
)
_SHAPE = "METRIC <= NUMBER, or >=, then optionally @95% or @95% strict"


class Severity(StrEnum):
    """What a gate that does not hold does to the exit status."""

    FAIL = "fail"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition on one metric."""

    text: str
    """As it was written, blanks collapsed."""
    metric: str
    """A metric's key or a short name of it."""
    relative: bool
    """`worse(metric)`: the difference to a baseline, signed in the metric's own bad direction."""
    operator: Literal["<=", ">="]
    limit: float
    level: float | None
    """Of the one-sided bound, such as .95; None compares the value itself."""
    strict: bool
    """Passes only if proven good."""
    severity: Severity = Severity.FAIL

    @property
    def condition(self) -> str:
        """The gate without its metric, such as `<= 0.05 @95%`."""
        return self.text[self.text.index(self.operator) :]

    @property
    def point_form(self) -> str:
        """The same condition on the value itself."""
        return self.text.partition(" @")[0]

    def holds(self, value: float) -> bool:
        """Whether a number lies on the good side of the limit, which itself is good."""
        return value <= self.limit if self.operator == "<=" else value >= self.limit


def parse_gate(text: str, *, severity: Severity = Severity.FAIL) -> Gate:
    """Reads one gate.

    Raises:
        InvalidProfile: the text is no gate; the remedy is the nearest text that is one.
    """
    found = _GATE.fullmatch(text)
    if found is None:
        raise _refusal(text)
    limit, level = float(found["limit"]), found["level"]
    if not math.isfinite(limit):
        raise InvalidProfile(f"gate `{text}`: the limit {found['limit']} is too large for a number")
    if level is not None and not 50 < float(level) < 100:
        raise InvalidProfile(
            f"gate `{text}`: the level {level}% must lie between 50% and 100%",
            remedy=text.replace(f"{level}%", "95%"),
        )
    relative = found["relative"] is not None
    metric = found["relative"] or found["metric"]
    if relative and found["operator"] == ">=":
        raise InvalidProfile(
            f"gate `{text}`: it would hold only for a model that is worse by so much",
            detail="worse(…) is positive where the model is worse, whichever way of the metric is good.",
            remedy=" ".join(text.replace(">=", "<=").split()),
        )
    value = f"worse({metric})" if relative else metric
    suffix = "" if level is None else f" @{float(level):.10g}%" + (" strict" if found["strict"] else "")
    return Gate(
        text=f"{value} {found['operator']} {found['limit']}{suffix}",
        metric=metric,
        relative=relative,
        operator=cast('Literal["<=", ">="]', found["operator"]),
        limit=limit,
        level=None if level is None else float(level) / 100,
        strict=found["strict"] is not None,
        severity=severity,
    )


def _refusal(text: str) -> InvalidProfile:
    """Names the slip where it is a common one."""
    for slip, mend, reason in (
        (r"(?<![<>=])(<|>)(?![<>=])", r"\1=", "the operators are <= and >="),
        (r"=<|≤", "<=", "the operators are <= and >="),
        (r"=>|≥", ">=", "the operators are <= and >="),
        (r"\s+strict\s*$", " @95% strict", "`strict` needs a level"),
        (r"(@\s*)0?(\.\d+)\s*%?", _as_percentage, "a level is a percentage"),
        (r"(@\s*[\d.]+)(?!\s*%|[\d.])", r"\1%", "a level is a percentage"),
        (r"([<>]=\s*)([\d.]+)\s*%", _as_fraction, "fractions are numbers from 0 to 1"),
    ):
        mended = re.sub(slip, mend, text)
        if mended != text and _GATE.fullmatch(mended):
            return InvalidProfile(f"gate `{text}`: {reason}", remedy=mended.strip())
    if re.search(r"==|!=", text):
        return InvalidProfile(f"gate `{text}`: the operators are <= and >=", remedy=_SHAPE)
    called = re.match(r"\s*(\w+)\(", text)
    if called and called[1] != "worse":
        near = " (meant: worse)" if nearest(called[1], ["worse"]) else ""
        return InvalidProfile(
            f"gate `{text}`: there is no function `{called[1]}`{near}", remedy="worse(METRIC) <= NUMBER"
        )
    return InvalidProfile(f"`{text}` is no gate", remedy=_SHAPE)


def _as_percentage(found: re.Match[str]) -> str:
    return f"{found[1]}{100 * float(found[2]):.10g}%"


def _as_fraction(found: re.Match[str]) -> str:
    try:
        return f"{found[1]}{float(found[2]) / 100:.10g}"
    except ValueError:
        return found[0]
