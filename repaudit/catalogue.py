"""What exists: every folder of one-file things, listed with the sentence that each says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from repaudit.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel


class Kind(StrEnum):
    """What `repaudit list` can list."""

    AUDITS = "audits"
    ATTACKS = "attacks"
    METRICS = "metrics"
    MODELS = "models"
    DATA = "data"
    PROFILES = "profiles"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that exists."""

    name: str
    summary: str


@dataclass(frozen=True, slots=True)
class Page:
    """One thing that exists, explained."""

    entry: Entry
    sections: Mapping[str, list[Entry]]
    """Its parameters, keys or presets, by heading."""


def page(kind: Kind, name: str) -> Page:
    """What there is to know of one thing.

    Raises:
        UsageError: nothing of this kind has that name; the nearest is suggested.
    """
    known = {entry.name: entry for entry in entries(kind)}
    if name not in known:
        near = nearest(name, known, 1)
        raise UsageError(
            f"`{name}` is not among the {kind.value}",
            detail=f"known: {', '.join(known)}",
            remedy=f"repaudit list {kind.value} {near[0]}" if near else f"repaudit list {kind.value}",
        )
    sections = {Kind.AUDITS: _audit_sections, Kind.ATTACKS: _attack_sections}.get(kind)
    return Page(known[name], {} if sections is None else sections(name))


def entries(kind: Kind) -> list[Entry]:
    """Everything of one kind, by name."""
    listing: dict[Kind, Callable[[], list[Entry]]] = {
        Kind.AUDITS: _audits,
        Kind.ATTACKS: _attacks,
        Kind.METRICS: _metrics,
        Kind.MODELS: _models,
        Kind.DATA: _data,
        Kind.PROFILES: _profiles,
    }
    return listing[kind]()


def _audits() -> list[Entry]:
    from repaudit import audits

    return [Entry(name, audits.load(name).question) for name in audits.names()]


def _metrics() -> list[Entry]:
    from repaudit import audits
    from repaudit.metrics.paired import is_paired

    return [
        Entry(key, f"audit {name}" + (", comparable by worse(…)" if is_paired(key) else ""))
        for name in audits.names()
        for key in audits.load(name).keys
    ]


def _attacks() -> list[Entry]:
    from repaudit import attacks

    known = attacks.presets()
    return [
        *(Entry(name, attacks.load(name).summary) for name in attacks.names()),
        *(Entry(preset, _preset(values)) for preset, values in known.items() if preset not in attacks.names()),
    ]


def _preset(values: Mapping[str, object]) -> str:
    """What a preset stands for."""
    told = ", ".join(f"{option}: {value}" for option, value in values.items() if option != "name")
    return f"Preset of {values['name']}: {told}."


def _models() -> list[Entry]:
    from repaudit import sources

    return [Entry(name, sources.source_named(name).summary) for name in sources.names()]


def _data() -> list[Entry]:
    from repaudit import data

    return [Entry(name, data.load(name).summary) for name in data.names()]


def _profiles() -> list[Entry]:
    from repaudit import profiles

    return [Entry(name, profiles.summary(name)) for name in profiles.names()]


def _audit_sections(name: str) -> dict[str, list[Entry]]:
    from repaudit import audits

    audit = audits.load(name)
    keys = [Entry(spec.pattern, f"{spec.unit}, {_BETTER[spec.better]}") for spec in audit.declared]
    return {f"parameters, as in --set {name}.KEY=VALUE": _fields(audit.parameters), "metrics": keys}


_BETTER = {"lower": "lower is better", "higher": "higher is better", "neither": "describes the model"}


def _attack_sections(name: str) -> dict[str, list[Entry]]:
    from repaudit import attacks

    file = name if name in attacks.names() else str(attacks.presets()[name]["name"])
    method = attacks.load(file)
    threat = [
        Entry("epsilon", "required. Radius, such as 8/255, or a list of radii, each with figures of its own."),
        Entry("norm", "default linf. linf or l2."),
        Entry("key", "default: the name. What the report calls it."),
    ]
    presets = [
        Entry(preset, ", ".join(f"{option}: {value}" for option, value in values.items()))
        for preset, values in method.presets.items()
    ]
    return {"options of its mapping": threat + _fields(method.options), "presets": presets}


def _fields(model: type[BaseModel]) -> list[Entry]:
    """Every field with its default and what it means."""
    return [
        Entry(
            name,
            (
                "required. "
                if field.is_required()
                else f"default {_shown(field.get_default(call_default_factory=True))}. "
            )
            + " ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    ]


def _shown(value: object) -> str:
    """A default as a profile would write it."""
    from repaudit.attacks import Setting

    if isinstance(value, tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    if isinstance(value, Setting):
        return value.key
    return "null" if value is None else str(value)
