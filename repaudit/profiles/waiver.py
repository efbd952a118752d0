"""Waivers: which gate may fail, until which day, and why."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from repaudit.errors import InvalidProfile, nearest
from repaudit.profiles.gate import parse_gate
from repaudit.profiles.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

NEEDED: Mapping[str, tuple[str, str]] = {
    "gate": ("the gate that it excuses", "gate: ece   (or the gate's whole text)"),
    "until": ("the last day on which it excuses", "until: YYYY-MM-DD"),
    "reason": ("why the gate may fail until then", "reason: temperature scaling lands with the next export"),
}
"""What each waiver must say, what that is, and an example."""
KEYS = (*NEEDED, "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Leave to fail one gate until a day."""

    gate: str
    """A gate's text, or the full or short name of the metric that gates are on; blanks collapsed."""
    until: date
    """The last day on which it excuses."""
    reason: str
    """As it was written, without blanks around it."""
    model: str | None = None
    """A glob that the model's reference, or what it resolved to, must match; None is any model."""

    def concerns(self, *names: str) -> bool:
        """Whether it is meant for a model of one of these names; letter case counts."""
        return self.model is None or any(fnmatchcase(name, self.model) for name in names)


def read_waiver(entry: Mapping[str, JsonValue], where: Callable[..., str]) -> Waiver:
    """One entry of `waivers`.

    Args:
        entry: as it was written; a date is its ISO text.
        where: `file:line` of the entry, or of the key that it is given.

    Raises:
        InvalidProfile: a key is unknown, missing or empty, or `until` is no day.
    """
    for key in entry:
        if key not in KEYS:
            near = nearest(key, KEYS, 1)
            raise InvalidProfile(
                f"{where(key)}: a waiver has no key `{key}`",
                detail=f"known keys: {', '.join(KEYS)}",
                remedy=f"`{near[0]}:` instead of `{key}:`" if near else "",
            )
    for key, (meaning, example) in NEEDED.items():
        if key not in entry:
            raise InvalidProfile(
                f"{where()}: a waiver needs `{key}`, {meaning}", detail=f"seen: {shown(dict(entry))}", remedy=example
            )
    gate = _text(entry, "gate", where)
    with suppress(InvalidProfile):
        gate = parse_gate(gate).text
    return Waiver(
        gate=" ".join(gate.split()),
        until=_day(entry["until"], where("until")),
        reason=_text(entry, "reason", where),
        model=None if entry.get("model") is None else _text(entry, "model", where),
    )


def _text(entry: Mapping[str, JsonValue], key: str, where: Callable[..., str]) -> str:
    value = entry[key]
    if isinstance(value, str) and value.strip():
        return value.strip()
    meaning, example = NEEDED.get(key, ("a glob of the models that it is meant for", "model: 'resnet50.*'"))
    raise InvalidProfile(
        f"{where(key)}: `{key}` of a waiver cannot be {shown(value)}",
        detail=f"`{key}` is a text: {meaning}",
        remedy=example,
    )


def _day(value: JsonValue, where: str) -> date:
    with suppress(ValueError):
        if isinstance(value, str):
            day = date.fromisoformat(value.strip())
            if day.isoformat() == value.strip():
                return day
    raise InvalidProfile(
        f"{where}: `until` of a waiver cannot be {shown(value)}",
        detail="`until` is the last day on which the waiver excuses, as YYYY-MM-DD",
        remedy=f"until: {_probably_meant(value)}",
    )


def _probably_meant(value: JsonValue) -> str:
    """The day of another way to write dates that begin with the year."""
    digits = re.match(r"(\d{4})\D?(\d{1,2})\D?(\d{1,2})(?!\d)", str(value).strip(), re.ASCII)
    with suppress(ValueError):
        if digits is not None:
            return date(*map(int, digits.groups())).isoformat()
    return "YYYY-MM-DD"
