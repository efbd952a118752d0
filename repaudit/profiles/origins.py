"""Where each value of a profile was written, so that a mistake is mended there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from repaudit import shipped
from repaudit.errors import InvalidProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from repaudit.profiles.document import Document, Place

Origins: TypeAlias = dict["Place", str]
"""`file:line` by place; empty text for what no file of the user's says: the command line, a shipped profile."""

_SETTING = re.compile(r"--set '?(?P<audit>\w+)\.(?P<parameter>\w+)=(?P<value>.*?)'?")


def origins_of(document: Document) -> Origins:
    """Every key and list entry of one file; audits that stand in a list get the place that a mapping gives them."""
    is_shipped = document.path.parent == shipped.folder("profiles")
    origins = {place: "" if is_shipped else document.where(*place) for place in _places(document.values, ())}
    audits = document.values.get("audits")
    for row, name in enumerate(audits if isinstance(audits, list) else []):
        origins["audits", str(name)] = origins["audits", row]
    return origins


def chosen_by_hand(origins: Origins, audits: Sequence[str]) -> None:
    """After `--audits`: what a file does not say of them, it cannot be blamed for."""
    for name in audits:
        origins.setdefault(("audits", name), "")


def set_by_hand(origins: Origins, key: str) -> None:
    """After `--set KEY=…`: neither the key nor anything below it is a file's."""
    path = tuple(key.removeprefix("audits.").split("."))
    for place in (path, ("audits", *path)):
        for below in [known for known in origins if known[: len(place)] == place]:
            del origins[below]
        origins[place] = ""


def located(origins: Mapping[Place, str], error: InvalidProfile, place: Place, edit: str) -> InvalidProfile:
    """The same mistake with the file that makes it and the edit that mends it; as it is where no file does.

    Args:
        origins: of the profile.
        error: whose remedy is meant for the command line.
        place: of the value in question.
        edit: of the file; empty takes the remedy, a `--set` put as YAML.
    """
    while place and place not in origins:
        place = place[:-1]
    where = origins.get(place, "")
    if not where:
        return error
    setting = _SETTING.fullmatch(error.remedy)
    as_yaml = "audits: {{{audit}: {{{parameter}: {value}}}}}".format(**setting.groupdict()) if setting else error.remedy
    return InvalidProfile(f"{where}: {error.problem}", detail=error.detail, remedy=edit or as_yaml)


def _places(value: JsonValue | Mapping[str, JsonValue], place: Place) -> Iterator[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*place, key)
        yield from _places(below, (*place, key))
