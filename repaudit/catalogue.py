"""What exists: every folder of one-file things, listed with the sentence that each says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from repaudit.errors import UsageError, nearest, printable
from repaudit.finding import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import BaseModel


NAMED = 20
"""Known names that a refusal lists."""


class Kind(StrEnum):
    """What `repaudit list` can list."""

    AUDITS = "audits"
    ATTACKS = "attacks"
    METRICS = "metrics"
    MODELS = "models"
    DATA = "data"
    PROFILES = "profiles"
    RECIPES = "recipes"


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
    known, asked = {entry.name: entry for entry in entries(kind)}, name
    if kind is Kind.METRICS:
        name = _metric_named(name, list(known))
    if name not in known:
        near = _nearest(name, known)
        if kind is Kind.MODELS and _is_architecture(name):
            raise UsageError(
                f"`{name}` is an architecture, not one of the model sources",
                remedy=f"repaudit list models {name} --head",
            )
        some = ", ".join(list(known)[:NAMED]) + (f" and {len(known) - NAMED} more" if len(known) > NAMED else "")
        raise UsageError(
            f"`{name}` is not among the {kind.value}",
            detail=f"known: {some}",
            remedy=f"repaudit list {kind.value} {near[0]}" if near else f"repaudit list {kind.value}",
        )
    if kind is Kind.METRICS:
        return Page(known[name], _metric_sections(name, _key_meant(asked, name)))
    sections = {Kind.AUDITS: _audit_sections, Kind.ATTACKS: _attack_sections}.get(kind)
    return Page(known[name], {} if sections is None else sections(name))


def _is_architecture(name: str) -> bool:
    from repaudit.heads import read

    library, _, rest = name.rpartition(":")
    pattern = rest.partition(".")[0]
    return any(row.library == (library or "timm") and fnmatchcase(row.name, pattern) for row in read().rows)


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """The full name whose whole or last segment is most like what was asked."""
    shorts = {each.rpartition(".")[2]: each for each in known}
    found = nearest(name, [*known, *shorts], 1)
    return [shorts.get(found[0], found[0])] if found else []


def _metric_named(name: str, known: list[str]) -> str:
    """The pattern of the one metric that a full or short name means, else the name itself.

    Raises:
        UsageError: it is short for several.
    """
    from repaudit.gates.naming import is_short_for, resolve

    found = resolve(name, known) or [pattern for pattern in known if "*" in pattern and is_short_for(name, pattern)]
    if len(found) > 1:
        raise UsageError(
            f"`{name}` is short for {len(found)} metrics",
            detail=", ".join(found),
            remedy=f"repaudit list metrics {found[0]}",
        )
    return found[0] if found else name


def _key_meant(asked: str, pattern: str) -> str:
    """The full key that a full or short name which fits a pattern means; the pattern where it leaves `*` open."""
    given, wanted = asked.split("."), pattern.split(".")
    return ".".join([*wanted[: max(0, len(wanted) - len(given))], *map(printable, given)])


def entries(kind: Kind) -> list[Entry]:
    """Everything of one kind, by name."""
    listing: dict[Kind, Callable[[], list[Entry]]] = {
        Kind.AUDITS: _audits,
        Kind.ATTACKS: _attacks,
        Kind.METRICS: _metrics,
        Kind.MODELS: _models,
        Kind.DATA: _data,
        Kind.PROFILES: _profiles,
        Kind.RECIPES: _recipes,
    }
    return listing[kind]()


def _audits() -> list[Entry]:
    from repaudit import audits

    return [Entry(name, audits.load(name).question) for name in audits.names()]


def _metrics() -> list[Entry]:
    from repaudit import audits

    return [Entry(key, f"audit {name}{_comparable(key)}") for name in audits.names() for key in audits.load(name).keys]


def _comparable(key: str) -> str:
    from repaudit.metrics.paired import is_paired

    if not is_paired(key):
        return ""
    union = not is_paired(key.replace("*", _UNION))
    return ", comparable by worse(…)" + (f", but not {_UNION}" if union else "")


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


def _recipes() -> list[Entry]:
    """By what each file says about itself; the settings themselves are not read."""
    from repaudit import shipped
    from repaudit.profiles.document import parse_yaml

    files = sorted(shipped.folder("training").glob("*.yaml"))
    read = {path.stem: parse_yaml(path.read_text(encoding="utf-8")) for path in files}
    return [Entry(name, str(values["about"])) for name, values in read.items() if isinstance(values, dict)]


def _audit_sections(name: str) -> dict[str, list[Entry]]:
    from repaudit import audits

    audit = audits.load(name)
    keys = [Entry(spec.pattern, f"{spec.unit}, {_BETTER[spec.better]}") for spec in audit.declared]
    return {f"parameters, as in --set {name}.KEY=VALUE": _fields(audit.parameters), "metrics": keys}


def _metric_sections(name: str, key: str) -> dict[str, list[Entry]]:
    """What a metric is.

    Args:
        name: the pattern that declares it.
        key: what was asked for, in full; the pattern itself where that is not one metric.
    """
    from repaudit import audits

    owner = next(each for each in audits.names() if name in audits.load(each).keys)
    offered = audits.load(owner)
    spec = next(spec for spec in offered.declared if spec.pattern == name)
    defined = offered.definitions[name]
    example = key.replace("*", _EXAMPLE)
    operator = {"higher": ">=", "lower": "<="}.get(spec.better, "<= or >=")
    level = "" if spec.bounds is Bounds.NONE else " @95%"
    told = [
        Entry("is", defined.text),
        Entry("from", defined.source),
        Entry("unit", spec.unit),
        Entry("direction", _BETTER[spec.better]),
        Entry("interval", _INTERVAL[spec.bounds]),
        Entry("audit", owner),
        Entry("gate", f"{example} {operator} NUMBER{level}"),
    ]
    if compared := _compared(name, example):
        told.append(Entry("compared", compared))
    return {"": told}


def _compared(pattern: str, key: str) -> str:
    from repaudit.metrics.paired import is_paired

    if not is_paired(pattern):
        return ""
    if not is_paired(key):
        single = pattern.replace("*", _EXAMPLE)
        return f"not at all: all attacks together have no per-image column; one has, as in worse({single})"
    return f"image by image with a baseline: worse({key}) <= NUMBER @95%"


_EXAMPLE = "fgsm"
"""An attack, where a pattern leaves it open."""
_UNION = "worst"
"""All attacks together, as keys name them."""
_INTERVAL = {
    Bounds.ANY: "one-sided bounds at any level",
    Bounds.RESAMPLED: "resampled; one-sided bounds up to 99.5 %",
    Bounds.NONE: "none; a gate compares the value itself",
}
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
