"""What can be minimised; one objective a file, found by listing the folder and imported only when used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from repaudit.errors import InvalidRecipe, nearest
from repaudit.profiles.shown import shown
from repaudit.train.objectives._contract import (
    Extra,
    Kind,
    Minimised,
    Objective,
    Options,
    Second,
    Step,
    Surroundings,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from repaudit.train.recipe import ObjectiveSection

__all__ = [
    "Extra",
    "Kind",
    "Minimised",
    "Objective",
    "Options",
    "Second",
    "Step",
    "Surroundings",
    "load",
    "names",
    "options_of",
]


def names() -> list[str]:
    """All objectives, without importing one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Kind:
    """The objective of a name.

    Raises:
        InvalidRecipe: there is none; the nearest is named.
    """
    if name not in names():
        near = nearest(name, names(), 1)
        raise InvalidRecipe(
            f"there is no objective `{name}`",
            detail=f"known: {', '.join(names())}",
            remedy=f"--set objective.name={near[0] if near else 'standard'}",
        )
    kind = import_module(f"repaudit.train.objectives.{name}").kind
    if not isinstance(kind, Kind):
        raise TypeError(f"repaudit/train/objectives/{name}.py must define `kind = Kind(…)`")
    return kind


def options_of(section: ObjectiveSection) -> BaseModel:
    """What a recipe says of its objective, checked.

    Raises:
        InvalidRecipe: an unknown objective or option, or a value that it cannot take.
    """
    kind = load(section.name)
    try:
        return kind.options.model_validate(section.model_extra or {})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = list(kind.options.model_fields)
        if first["type"] == "extra_forbidden":
            near = nearest(key, known, 1)
            raise InvalidRecipe(
                f"the objective `{section.name}` has no option `{key}`",
                detail=f"known: {', '.join(known) or 'none'}",
                remedy=f"--set objective.{near[0]}=VALUE" if near else "",
            ) from None
        absent = first["type"] == "missing"
        raise InvalidRecipe(
            f"objective.{key} is {'missing' if absent else shown(first['input'])}",
            detail=_meaning(kind, key) if absent else str(first["msg"]).removeprefix("Value error, "),
            remedy=f"--set objective.{key}=VALUE",
        ) from None


def _meaning(kind: Kind, option: str) -> str:
    """What an option without a default is."""
    return kind.options.model_fields[option].description or ""
