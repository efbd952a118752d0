"""One profile file: YAML, or the table [tool.repaudit] of a pyproject.toml."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from datetime import date, time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from repaudit.errors import InvalidProfile, nearest
from repaudit.profiles.gate import Gate, Severity, parse_gate
from repaudit.profiles.shown import shown
from repaudit.profiles.waiver import read_waiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Place: TypeAlias = tuple[str | int, ...]

EXPECTED = {
    "version": "1, the only version that this repaudit reads",
    "extends": "the name of a shipped profile or the path of a file",
    "limit": "a whole number of images, at least 1",
    "seed": "a whole number, at least 0",
    "model": "a model reference",
    "data": "a data reference",
    "audits": "a list of names, or a mapping from names to parameters",
    "gates": "a list of conditions such as `ece <= 0.05 @95%`, or of mappings with `if` and `level`",
    "waivers": "a list of mappings such as `{gate: ece, until: YYYY-MM-DD, reason: why}`",
}


class GateEntry(BaseModel):
    """The mapping form of a gate."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    condition: str = Field(alias="if")
    level: Severity = Severity.FAIL


class ProfileFile(BaseModel):
    """What one file may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1] = 1
    extends: str | None = None
    limit: Annotated[int, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    model: str | None = None
    data: str | None = None
    audits: list[str] | dict[str, dict[str, JsonValue] | None] | None = None
    gates: list[str | dict[str, JsonValue]] | None = None
    waivers: list[dict[str, JsonValue]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file as read, with the line of every key."""

    path: Path
    label: str
    """How messages call it."""
    values: Mapping[str, JsonValue]
    lines: Mapping[Place, int]

    def where(self, *place: str | int) -> str:
        """`file:line` of a key, or of the nearest key around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.label}:{self.lines[place]}" if place in self.lines else self.label

    def check(self) -> ProfileFile:
        """The file's contents, all keys known and of the right kind.

        Raises:
            InvalidProfile: naming the file, the line, the key and the nearest key.
        """
        self.refuse_unknown(self.values)
        try:
            checked = ProfileFile.model_validate(dict(self.values))
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            raise InvalidProfile(
                f"{self.where(key)}: `{key}` cannot be {shown(self.values[key])}",
                detail=f"`{key}` is {EXPECTED[key]}",
                remedy="docs/profiles.md lists every key with an example",
            ) from None
        for row, entry in enumerate(checked.gates or []):
            read_gate(entry, self.where("gates", row))
        for row, waiver in enumerate(checked.waivers or []):
            read_waiver(waiver, partial(self.where, "waivers", row))
        return checked

    def refuse_unknown(self, keys: Iterable[str]) -> None:
        """Refuses keys that no profile has.

        Raises:
            InvalidProfile: naming the file, the line, the key and the nearest key.
        """
        for key in keys:
            if key not in ProfileFile.model_fields:
                near = nearest(key, ProfileFile.model_fields, 1)
                raise InvalidProfile(
                    f"{self.where(key)}: a profile has no key `{key}`",
                    detail=f"known keys: {', '.join(ProfileFile.model_fields)}",
                    remedy=f"`{near[0]}:` instead of `{key}:`" if near else "",
                )


def read_gate(entry: str | Mapping[str, JsonValue], where: str) -> Gate:
    """A gate in its text or its mapping form.

    Raises:
        InvalidProfile: naming the place.
    """
    try:
        if isinstance(entry, str):
            return parse_gate(entry)
        fields = GateEntry.model_validate(entry)
        return parse_gate(fields.condition, severity=fields.level)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidProfile(
            f"{where}: a gate's mapping has `if` and optionally `level`; got {shown(entry)}",
            detail=f"`{first['loc'][0]}`: {first['msg']}",
            remedy="{if: ece <= 0.05 @95%, level: warn}",
        ) from None
    except InvalidProfile as error:
        raise InvalidProfile(f"{where}: {error.problem}", detail=error.detail, remedy=error.remedy) from None


def read(path: Path, label: str) -> Document | None:
    """The file's contents; None for a pyproject.toml without the table.

    Raises:
        InvalidProfile: the file cannot be read, or is not of the right form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InvalidProfile(f"the profile {label} cannot be read: {reason}") from None
    if path.suffix == ".toml":
        return _read_toml(path, label, text)
    try:
        return Document(path=path, label=label, values=_mapping(parse_yaml(text), label), lines=_lines(text, label))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InvalidProfile(
            f"{label}{line}: not YAML: {getattr(error, 'problem', None) or error}",
            remedy="repaudit list profiles standard   (the text of a profile, to copy)",
        ) from None
    except UnkeptError as error:
        lines = _lines(text, label)
        keys = [str(place[0]) for place in lines if len(place) == 1 and isinstance(place[0], str)]
        raise _unkept(Document(path=path, label=label, values={}, lines=lines), keys, error) from None
    except ValueError as error:
        raise InvalidProfile(f"{label}: {error}") from None


class UnkeptError(ValueError):
    """A value that JSON cannot hold, and where it stands."""

    def __init__(self, problem: str, place: Place) -> None:
        super().__init__(problem)
        self.place = place


def _unkept(document: Document, keys: Iterable[str], error: UnkeptError) -> InvalidProfile:
    """The refusal of such a value.

    Raises:
        InvalidProfile: one of the `keys` is unknown, of which such a value is often but a consequence.
    """
    document.refuse_unknown(keys)
    return InvalidProfile(f"{document.where(*error.place)}: {error}")


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, which YAML 1.1 does not, and refuses what JSON cannot hold."""


class _Date(str):
    """What YAML takes for a date, by its text: no calendar may have it."""

    __slots__ = ()


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: _Date(node.value))


def parse_yaml(text: str, place: Place = ()) -> JsonValue:
    """A YAML document of JSON values.

    Args:
        text: of the document.
        place: of the whole document in its profile.

    Raises:
        yaml.YAMLError: no YAML.
        ValueError: it holds a date elsewhere than in a waiver, an infinity, an alias or a key that is no text.
    """
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
        raise ValueError("aliases (`*name`) are not supported: write the value out")
    return _json_value(yaml.load(text, Loader=_Loader), place)


def _json_value(value: object, place: Place) -> JsonValue:
    if isinstance(value, (_Date, date, time)):
        text = str(value) if isinstance(value, _Date) else value.isoformat()
        if place[:1] == ("waivers",):
            return text
        raise UnkeptError(f"{text} is read as a date: quote it", place)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnkeptError(f"{value} is no number that JSON can hold", place)
        return value
    if isinstance(value, list):
        return [_json_value(item, (*place, row)) for row, item in enumerate(value)]
    if isinstance(value, dict):
        wrong = [key for key in value if isinstance(key, _Date) or not isinstance(key, str)]
        if wrong:
            raise UnkeptError(f"the key {wrong[0]!r} is no text: quote it", (*place, str(wrong[0])))
        return {key: _json_value(item, (*place, key)) for key, item in value.items()}
    raise UnkeptError(f"{value} is read as a {type(value).__name__}: quote it", place)


def _read_toml(path: Path, label: str, text: str) -> Document | None:
    try:
        table = tomllib.loads(text).get("tool", {}).get("repaudit")
    except tomllib.TOMLDecodeError as error:
        raise InvalidProfile(f"{label}: not TOML: {error}") from None
    if table is None:
        return None
    label = f"{label} [tool.repaudit]"
    try:
        return Document(path=path, label=label, values=_mapping(_json_value(table, ()), label), lines={})
    except UnkeptError as error:
        raise _unkept(Document(path=path, label=label, values={}, lines={}), table, error) from None


def _mapping(value: JsonValue, label: str) -> Mapping[str, JsonValue]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidProfile(
            f"{label}: a profile is a mapping, not {shown(value)}", remedy="audits: [accuracy, calibration]"
        )
    return value


def _lines(text: str, label: str) -> dict[Place, int]:
    lines: dict[Place, int] = {}

    def visit(node: yaml.Node, place: Place) -> None:
        if isinstance(node, yaml.SequenceNode):
            for row, item in enumerate(node.value):
                lines[*place, row] = item.start_mark.line + 1
                visit(item, (*place, row))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                line = key.start_mark.line + 1
                if (*place, key.value) in lines:
                    first = lines[*place, key.value]
                    raise InvalidProfile(
                        f"{label}:{line}: the key `{key.value}` appears twice",
                        detail=f"the first time on line {first}",
                        remedy=f"one `{key.value}:` that says it all, and the other deleted",
                    )
                lines[*place, key.value] = line
                visit(value, (*place, key.value))

    root = yaml.compose(text, Loader=_Loader)
    if root is not None:
        visit(root, ())
    return lines
