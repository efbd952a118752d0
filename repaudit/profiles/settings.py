"""`--set KEY=VALUE`: one profile key, or one keyword argument of the architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import yaml
from pydantic import JsonValue

from repaudit.errors import InvalidProfile, nearest
from repaudit.profiles.document import ProfileFile, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Argument: TypeAlias = str | int | float | bool
_ELSEWHERE = {"extends": "--profile FILE", "version": "--profile FILE", "audits": "--audits A,B"}


def split_settings(settings: Sequence[str]) -> tuple[dict[str, Argument], dict[str, JsonValue]]:
    """Parts arguments of the model from keys of the profile.

    Returns:
        Arguments by name without their `model.`, and the other values by dotted key.

    Raises:
        InvalidProfile: no `KEY=VALUE`, a value that is no YAML, or an argument that is no scalar.
    """
    arguments: dict[str, Argument] = {}
    others: dict[str, JsonValue] = {}
    for text in settings:
        key, value = _parse(text)
        if not key.startswith("model."):
            others[key] = value
        elif isinstance(value, (str, int, float)):
            arguments[key.removeprefix("model.")] = value
        else:
            raise InvalidProfile(
                f"--set {text}: an argument of the model is a number, a word, true or false",
                remedy=f"--set {key}=VALUE",
            )
    return arguments, others


def apply_settings(values: dict[str, JsonValue], settings: Mapping[str, JsonValue]) -> None:
    """Puts settings into a profile's values.

    Raises:
        InvalidProfile: the key leads nowhere, with the nearest that does.
    """
    for key, value in settings.items():
        first, *rest = key.split(".")
        if not rest and first in ProfileFile.model_fields:
            if first in _ELSEWHERE:
                raise InvalidProfile(f"--set cannot change `{first}`", remedy=_ELSEWHERE[first])
            values[first] = value
        else:
            _set_parameter(values, key, [first, *rest], value)


def _parse(text: str) -> tuple[str, JsonValue]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise InvalidProfile(f"--set {text}: not KEY=VALUE", remedy="--set calibration.bins=20")
    try:
        return key, parse_yaml(value, (key,))
    except yaml.YAMLError:
        raise InvalidProfile(f"--set {text}: the value is no YAML", remedy=f"--set {key}='[a, b]', quoted") from None
    except ValueError as error:
        raise InvalidProfile(f"--set {text}: {error}", remedy=f"--set {key}='\"…\"'") from None


def _set_parameter(values: dict[str, JsonValue], key: str, path: list[str], value: JsonValue) -> None:
    audits = values.get("audits")
    if not isinstance(audits, dict):
        raise InvalidProfile(f"--set {key}: the profile names no audit", remedy="--audits accuracy,calibration")
    name, *steps = path[1:] if path[0] == "audits" else path
    if name not in audits:
        near = nearest(name, [*audits, *ProfileFile.model_fields], 1)
        argument = f"--set model.{name}=…   (if it is an argument of the network)"
        other = f"--audits {','.join([*audits, name])}" if steps else argument
        raise InvalidProfile(
            f"--set {key}: this profile has no audit `{name}`",
            detail=f"its audits: {', '.join(audits)}",
            remedy=f"--set {'.'.join([near[0], *steps])}=…" if near else other,
        )
    if not steps:
        raise InvalidProfile(f"--set {key}: names an audit but none of its parameters", remedy=f"--set {key}.limit=256")
    audits = values["audits"] = dict(audits)
    given = audits.get(name)
    audits[name] = _replaced(given if isinstance(given, dict) else {}, steps, value)


def _replaced(tree: Mapping[str, JsonValue], steps: list[str], value: JsonValue) -> dict[str, JsonValue]:
    """A copy of the tree with one leaf changed."""
    first, *rest = steps
    below = tree.get(first)
    branch = below if isinstance(below, dict) else {}
    return {**tree, first: _replaced(branch, rest, value) if rest else value}
