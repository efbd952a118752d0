"""One attack a file; the file's name is its id. `pool.py` schedules, `harness.py` alone judges.

An attack is a module of this folder with a constant `attack`: a `Method`, which builds one state machine, or a
`Protocol`, which names several attacks in their order. The other files are the engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.attacks.contract import UNTARGETED, Attack, Rows
from repaudit.attacks.settings import Member, Method, Options, Protocol, Recipe, Setting
from repaudit.attacks.threat import Norm, Threat, parse_threat
from repaudit.errors import InvalidProfile, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "UNTARGETED",
    "Attack",
    "Member",
    "Method",
    "Options",
    "Protocol",
    "Recipe",
    "Rows",
    "Setting",
    "load",
    "names",
    "presets",
    "resolve",
    "resolve_list",
]

ENGINE = frozenset(
    {
        "adversarials",
        "asking",
        "checks",
        "contract",
        "harness",
        "intake",
        "journal",
        "ledger",
        "noise",
        "objectives",
        "outcomes",
        "plan",
        "pool",
        "reference",
        "rounding",
        "scout",
        "search",
        "settings",
        "threat",
        "verdict",
        "voting",
        "widened",
    }
)
"""Files of this folder that are no attacks."""
KEY = re.compile(r"[a-z][a-z0-9_-]*")
RESERVED = ("worst", "mechanism", "transfer")
"""Keys that mean something else in a report."""


def names() -> list[str]:
    """Ids of all attacks, without importing one."""
    stems = {path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    return sorted(stems - ENGINE)


def load(name: str) -> Recipe[Options]:
    """The attack called `name`.

    Raises:
        InvalidProfile: there is no such attack; the nearest names are suggested.
    """
    if name not in names():
        raise _unknown(name, names())
    recipe = import_module(f"repaudit.attacks.{name}").attack
    if not isinstance(recipe, Recipe):
        raise TypeError(f"repaudit/attacks/{name}.py must define `attack = Method(…)` or `Protocol(…)`")
    return recipe


def presets() -> dict[str, dict[str, object]]:
    """Every named setting in the mapping form of a profile."""
    return {preset: {"name": name, **raw} for name in names() for preset, raw in load(name).presets.items()}


def resolve(raw: object) -> Setting:
    """One entry of a profile's list of attacks: a preset's name, or a mapping with `name` and `epsilon`.

    A mapping's `name` may be a preset, whose values it then overrides.

    Raises:
        InvalidProfile: no such attack, a threat or an option that cannot be, a key of forbidden letters, or a list
            of radii where one is wanted.
    """
    settings = resolve_list(raw)
    if len(settings) > 1:
        raise InvalidProfile(
            f"attack `{settings[0].series}` has {len(settings)} radii where one is wanted",
            remedy=f"epsilon: {settings[0].threat.epsilon:g}",
        )
    return settings[0]


def resolve_list(raw: object) -> tuple[Setting, ...]:
    """The same; an entry whose `epsilon` is a list gives one setting a radius, smallest first.

    Of such a list an image broken at one radius is broken at every larger one, and is not attacked there again.

    Raises:
        InvalidProfile: as `resolve`.
    """
    values = _values(raw)
    name, key, series = str(values.pop("name")), values.pop("key"), values.pop("series", None)
    if not isinstance(key, str) or not KEY.fullmatch(key) or key in RESERVED:
        raise InvalidProfile(
            f"`{key}` cannot be the key of an attack",
            detail="Lower-case letters, digits, `_` and `-`, beginning with a letter; "
            f"{', '.join(f'`{word}`' for word in RESERVED)} mean something else.",
            remedy=f"key: {name}_2",
        )
    if "epsilon" not in values:
        raise InvalidProfile(f"attack `{key}` needs a radius", remedy=f"{{name: {name}, epsilon: 8/255, …}}")
    norm, epsilon = values.pop("norm"), values.pop("epsilon")
    recipe = load(name)
    if not isinstance(epsilon, list | tuple):
        setting = recipe.bind(name, key, parse_threat(norm, epsilon), values)
        return (setting if series is None else replace(setting, series=str(series)),)
    threats = sorted({parse_threat(norm, radius) for radius in epsilon}, key=lambda threat: threat.epsilon)
    if len(threats) < len(epsilon) or not threats:
        raise InvalidProfile(
            f"the radii of attack `{key}` are {epsilon!r}", remedy="epsilon: [1/255, 2/255, 4/255], each once"
        )
    return tuple(
        replace(recipe.bind(name, f"{key}_{radius_name(threat)}", threat, values), series=key) for threat in threats
    )


def radius_name(threat: Threat) -> str:
    """A radius as part of a key: `2_255` for 2/255, `0p5_255` for half of a grey level, `0p25` for an L2 radius."""
    if threat.norm is Norm.LINF:
        return f"{threat.epsilon * 255:.6g}_255".replace(".", "p").replace("e-0", "e").replace("-", "m")
    return f"{threat.epsilon:.6g}".replace(".", "p").replace("-", "m")


def _values(raw: object) -> dict[str, object]:
    """The mapping that an entry stands for, with its preset's values; `name` is a file's."""
    entry: Mapping[object, object] = {"name": raw} if isinstance(raw, str) else raw if isinstance(raw, Mapping) else {}
    asked = entry.get("name")
    if not isinstance(asked, str):
        raise InvalidProfile(
            f"`{raw}` names no attack", remedy="attacks: [pgd_w, {name: pgd, key: pgd_2, epsilon: 2/255, …}]"
        )
    named = presets()
    if asked not in named and asked not in names():
        raise _unknown(asked, [*names(), *named])
    values: dict[str, object] = {"key": asked, "norm": Norm.LINF, **named.get(asked, {"name": asked})}
    other_norm = "norm" in entry and entry["norm"] != values["norm"] and "epsilon" in values
    if other_norm and "epsilon" not in entry:
        raise InvalidProfile(
            f"`{asked}` has its radius {values['epsilon']} in the norm {values['norm']}, not in {entry['norm']}",
            detail="The same number means another ball in another norm.",
            remedy=f"{{name: {asked}, norm: {entry['norm']}, epsilon: 0.5, …}}",
        )
    values.update((str(option), value) for option, value in entry.items() if option != "name")
    return values


def _unknown(name: str, known: Sequence[str]) -> InvalidProfile:
    near = nearest(name, dict.fromkeys(known))
    return InvalidProfile(
        f"there is no attack `{name}`",
        detail="known: " + ", ".join(sorted(set(known))),
        remedy=" or ".join(near) if near else "repaudit list attacks",
    )
