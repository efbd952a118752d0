"""From a name or a file to a checked recipe: `extends`, `--set`, and whatever the command line says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, JsonValue, ValidationError

from repaudit import shipped
from repaudit.errors import InvalidProfile, InvalidRecipe, nearest, printable
from repaudit.profiles.document import parse_yaml
from repaudit.profiles.shown import LONGEST, shown
from repaudit.train.recipe import INCONSISTENT, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

DEFAULT = "digits"
_EXTENDS = "extends"


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A checked recipe and how it is called."""

    name: str
    """Of a shipped recipe, else of the file."""
    recipe: Recipe


def names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in shipped.folder("training").glob("*.yaml"))


def text(name: str) -> str:
    """A shipped recipe's whole file, to be copied."""
    return (shipped.folder("training") / f"{name}.yaml").read_text(encoding="utf-8")


def load(
    reference: str | None, *, settings: Sequence[str] = (), given: Mapping[str, JsonValue] | None = None
) -> LoadedRecipe:
    """Finds a recipe, follows what it extends and applies the command line.

    Args:
        reference: a shipped name or a path; None takes `digits`.
        settings: `KEY=VALUE` each, the key dotted, values in YAML.
        given: values of flags by dotted key; they win over `settings`.

    Raises:
        InvalidRecipe: naming the key, the value seen and what mends it.
    """
    name, values = _chain(reference or DEFAULT, ())
    changes = dict(_setting(text) for text in settings) | dict(given or {})
    for key, value in changes.items():
        values = _replaced(values, key.split("."), value)
    try:
        return LoadedRecipe(name, Recipe.model_validate(values))
    except ValidationError as error:
        raise _told(error, name, values) from None


def _chain(reference: str, before: tuple[Path, ...]) -> tuple[str, dict[str, JsonValue]]:
    """The values of a file upon those of what it extends."""
    path = _path(reference, before[-1].parent if before else Path.cwd())
    if path in before:
        raise InvalidRecipe(f"the recipe {reference} extends itself", remedy=f"{path} without its line `{_EXTENDS}:`")
    values = _read(path, reference)
    below = values.pop(_EXTENDS, None)
    name = path.stem if path.parent == shipped.folder("training") else path.name
    if below is None:
        return name, values
    if not isinstance(below, str):
        raise InvalidRecipe(
            f"{reference}: `{_EXTENDS}` is {shown(below)}, not a name or a path", remedy="extends: digits"
        )
    return name, _upon(_chain(below, (*before, path))[1], values)


def _path(reference: str, directory: Path) -> Path:
    if reference in names():
        return shipped.folder("training") / f"{reference}.yaml"
    path = directory / Path(reference).expanduser()
    if path.is_file():
        return path.resolve()
    if path.suffix in (".yaml", ".yml") or len(path.parts) > len(directory.parts) + 1:
        raise InvalidRecipe(f"there is no recipe {reference}", remedy="repaudit list recipes")
    near = nearest(reference, names(), 1)
    raise InvalidRecipe(
        f"there is no recipe `{reference}`",
        detail=f"shipped: {', '.join(names())}",
        remedy=f"--recipe {near[0]}" if near else "--recipe FILE.yaml",
    )


def _read(path: Path, reference: str) -> dict[str, JsonValue]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InvalidRecipe(f"{reference}{line} is no YAML: {getattr(error, 'problem', error)}") from None
    except (OSError, ValueError, InvalidProfile) as error:
        raise InvalidRecipe(f"the recipe {reference} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise InvalidRecipe(
            f"{reference} holds no recipe", remedy="keys such as `epochs: 30`; see `repaudit list recipes`"
        )
    return values


def _setting(text: str) -> tuple[str, JsonValue]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise InvalidRecipe(f"--set {text}: not KEY=VALUE", remedy="--set optimizer.rate=0.05")
    try:
        return key.strip(), parse_yaml(value)
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidRecipe(f"--set {text}: {error}", remedy=f"--set {key}='[a, b]', quoted") from None


def _upon(below: Mapping[str, JsonValue], above: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Sections are joined key by key; an objective of another name brings its own keys only."""
    joined = dict(below)
    for key, value in above.items():
        under = joined.get(key)
        other = key == "objective" and isinstance(value, dict) and isinstance(under, dict)
        if other and value.get("name", under.get("name")) != under.get("name"):  # type: ignore[union-attr]
            joined[key] = value
        else:
            joined[key] = _upon(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return joined


def _replaced(tree: Mapping[str, JsonValue], steps: Sequence[str], value: JsonValue) -> dict[str, JsonValue]:
    first, *rest = steps
    below = tree.get(first)
    branch = below if isinstance(below, dict) else {}
    return {**tree, first: _replaced(branch, rest, value) if rest else value}


def _told(error: ValidationError, name: str, values: JsonValue) -> InvalidRecipe:
    """The first mistake, with the key as `--set` writes it."""
    first = error.errors()[0]
    steps = _reached(values, first["loc"])
    key = printable(".".join(steps))[: 2 * LONGEST]
    if first["type"] == INCONSISTENT:
        return InvalidRecipe(f"the recipe {name}: {first['msg']}", remedy=first["ctx"]["remedy"])
    if first["type"] == "extra_forbidden":
        known, asked = _keys(steps[:-1]), printable(steps[-1])[:LONGEST]
        near = nearest(asked, known, 1)
        where = f"`{'.'.join(steps[:-1])}`" if steps[1:] else "a recipe"
        return InvalidRecipe(
            f"the recipe {name}: {where} has no key `{asked}`, which is {shown(first['input'])}",
            detail=f"known: {', '.join(known)}",
            remedy=f"`{near[0]}` instead of `{asked}`" if near else f"repaudit list recipes {DEFAULT}",
        )
    told = dict.fromkeys(each["msg"] for each in error.errors() if _reached(values, each["loc"]) == steps)
    default = _default(steps)
    return InvalidRecipe(
        f"the recipe {name}: `{key}` cannot be {shown(first['input'])}",
        detail="; or: ".join(told),
        remedy=f"--set {key}=VALUE" if default is None else f"--set {key}={default}   (the default)",
    )


def _reached(values: JsonValue, place: Sequence[str | int]) -> list[str]:
    """The keys of a place; a list is one value, and what pydantic adds of types is no key."""
    steps: list[str] = []
    for part in place:
        if not isinstance(values, dict) or not isinstance(part, str) or part not in values:
            break
        steps.append(part)
        values = values[part]
    return steps


def _fields(place: Sequence[str]) -> Mapping[str, FieldInfo]:
    """Keys of a section; none where it is no section."""
    model: type[BaseModel] = Recipe
    for part in place:
        below = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            return {}
        model = below
    return model.model_fields


def _keys(place: Sequence[str]) -> list[str]:
    return list(_fields(place))


def _default(place: Sequence[str]) -> str | None:
    """Of one key, as `--set` takes it; None where it has none."""
    field = _fields(place[:-1]).get(place[-1]) if place else None
    if field is None or field.is_required():
        return None
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "null"
    if isinstance(default, BaseModel):
        return "'{}'"
    return f"'[{', '.join(map(str, default))}]'" if isinstance(default, tuple) else str(default)
