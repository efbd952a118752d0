"""What a shell is offered for the rest of a name; nothing that is heavy to import is imported for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import repaudit

if TYPE_CHECKING:
    from collections.abc import Iterable

_ATTACK = re.compile(r"^attack\b.*? = ", re.MULTILINE)
"""What makes a file of `repaudit/attacks` an attack rather than a part of the engine."""


def profiles(incomplete: str) -> list[str]:
    """Shipped profiles."""
    from repaudit.profiles import names

    return _continuing(incomplete, names())


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes."""
    from repaudit.train.reading import names

    return _continuing(incomplete, names())


def papers(incomplete: str) -> list[str]:
    """Papers whose figures are kept."""
    from repaudit.published import Paper

    return _continuing(incomplete, list(Paper))


def audits(incomplete: str) -> list[str]:
    """A list of audits, its last one completed; none is offered twice."""
    before, comma, last = incomplete.rpartition(",")
    chosen = before.split(",")
    return [f"{before}{comma}{name}" for name in _continuing(last, _stems("audits")) if name not in chosen]


def things(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `list KIND` would list, as far as the files' names tell; metrics and presets only their files know."""
    match ctx.params.get("kind"):
        case "profiles":
            return profiles(incomplete)
        case "recipes":
            return recipes(incomplete)
        case "audits":
            return _continuing(incomplete, _stems("audits"))
        case "attacks":
            return _continuing(incomplete, _attacks())
        case "models":
            return _continuing(incomplete, _stems("sources"))
        case "data":
            return _continuing(incomplete, [stem.replace("_", "-") for stem in _stems("data")])
        case _:
            return []


def _continuing(incomplete: str, names: Iterable[str]) -> list[str]:
    return [str(name) for name in names if name.startswith(incomplete)]


def _attacks() -> list[str]:
    folder = _folder("attacks")
    return [stem for stem in _stems("attacks") if _ATTACK.search((folder / f"{stem}.py").read_text(encoding="utf-8"))]


def _stems(room: str) -> list[str]:
    return sorted(path.stem for path in _folder(room).glob("*.py") if not path.stem.startswith("_"))


def _folder(room: str) -> Path:
    return Path(repaudit.__file__).parent / room
