"""How a parameter of two reports differs, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

ABSENT = "absent"


def differences(name: str, theirs: object, mine: object, there: str) -> Iterator[str]:
    """What differs between two JSON values, one line each; nothing where they are equal.

    Mappings are compared field by field, lists of mappings with a `key`, such as attacks, by their keys.

    Args:
        name: of the parameter, dotted.
        theirs: its value in the other report; None where it has none.
        mine: its value in this one.
        there: what lines call the other report, such as `the baseline`.
    """
    if theirs == mine:
        return
    if isinstance(theirs, Mapping) and isinstance(mine, Mapping):
        for field in dict.fromkeys([*theirs, *mine]):
            yield from differences(f"{name}.{field}", theirs.get(field, ABSENT), mine.get(field, ABSENT), there)
    elif _is_keyed(theirs) and _is_keyed(mine):
        yield from _keyed(name, theirs, mine, there)
    else:
        yield f"{name} is {_plain(theirs)} in {there}, {_plain(mine)} here"


def short(text: str, longest: int = 200) -> str:
    """The text, without its middle where it is long."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[1 - longest // 2 :]}"


def _keyed(
    name: str, theirs: Sequence[Mapping[str, object]], mine: Sequence[Mapping[str, object]], there: str
) -> Iterator[str]:
    before, now = ({str(entry["key"]): entry for entry in entries} for entries in (theirs, mine))
    for these, others, place in ((before, now, f"in {there}"), (now, before, "here")):
        alone = [key for key in these if key not in others]
        if alone:
            yield f"{name}: {short(', '.join(alone))} only {place}"
    for key in before:
        if key in now:
            yield from differences(f"{name}: {key}", before[key], now[key], there)
    if before == now:
        yield f"{name}: {short(', '.join(before))} in {there}, in another order here"


def _is_keyed(value: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return False
    keys = [entry.get("key") if isinstance(entry, Mapping) else None for entry in value]
    return None not in keys and len(set(map(str, keys))) == len(keys)


def _plain(value: object) -> str:
    return short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
