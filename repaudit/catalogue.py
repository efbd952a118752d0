"""What exists: every folder of one-file things, listed with the sentence that each says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


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

    return [Entry(key, f"audit {name}") for name in audits.names() for key in audits.load(name).keys]


def _attacks() -> list[Entry]:
    from repaudit import attacks

    return [Entry(name, attacks.load(name).summary) for name in attacks.names()]


def _models() -> list[Entry]:
    from repaudit import sources

    return [Entry(name, sources.source_named(name).summary) for name in sources.names()]


def _data() -> list[Entry]:
    from repaudit import data

    return [Entry(name, data.load(name).summary) for name in data.names()]


def _profiles() -> list[Entry]:
    from repaudit import profiles

    return [Entry(name, profiles.summary(name)) for name in profiles.names()]
