"""Attacks and protocols as a profile asks for them, validated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from repaudit.attacks.contract import Attack
from repaudit.attacks.threat import Threat
from repaudit.errors import InvalidProfile, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMON = ("name", "key", "norm", "epsilon")
"""What every setting has."""


class Options(BaseModel):
    """Base of what an attack takes beyond its threat: frozen, an unknown key is an error, fields say what they are."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


O = TypeVar("O", bound=Options)  # noqa: E741


@dataclass(frozen=True, slots=True)
class Member:
    """One state machine of a setting."""

    name: str
    """Its attack's file; noise depends on this."""
    key: str
    """What the record of a verdict calls it."""
    attack: Attack


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One attack as a profile asks for it, validated."""

    name: str
    """Its file's name; noise depends on this and not on `key`."""
    key: str
    """Its name in the report's keys."""
    threat: Threat
    options: Options
    members: Callable[[], tuple[Member, ...]] = field(repr=False, compare=False)
    """Makes fresh state machines: one, or those of a protocol in their order."""
    votes: int = 1
    """Passes whose majority decides a success; 1 for networks that always answer alike."""
    series: str | None = None
    """The key of the list of radii that it belongs to."""

    @property
    def gradients(self) -> bool:
        """Some of its queries need a gradient."""
        return any(member.attack.directions for member in self.members())

    def as_dict(self) -> dict[str, object]:
        """JSON values that `resolve` turns into an equal setting."""
        threat = {"norm": self.threat.norm.value, "epsilon": self.threat.epsilon}
        series = {} if self.series is None else {"series": self.series}
        return {"name": self.name, "key": self.key, **threat, **self.options.model_dump(mode="json"), **series}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(ABC, Generic[O]):
    """What a file of this folder defines as `attack`."""

    summary: str
    """One sentence for `repaudit list attacks`."""
    options: type[O]
    presets: Mapping[str, Mapping[str, object]]
    """Settings with a name of their own, such as `pgd_w`, each with its source in the file."""

    @abstractmethod
    def make(self, name: str, key: str, threat: Threat, options: O) -> Setting:
        """The setting of validated options."""

    def bind(self, name: str, key: str, threat: Threat, raw: Mapping[str, object]) -> Setting:
        """Validates the options of a profile.

        Raises:
            InvalidProfile: an unknown option (with the nearest names) or a value of the wrong kind.
        """
        try:
            options = self.options.model_validate(dict(raw))
        except ValidationError as error:
            raise _invalid_option(key, [*COMMON, *self.options.model_fields], error) from None
        return self.make(name, key, threat, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Recipe[O]):
    """One way of attacking."""

    build: Callable[[Threat, O], Attack]

    def make(self, name: str, key: str, threat: Threat, options: O) -> Setting:
        """A setting with one member, named like itself."""
        return Setting(
            name=name,
            key=key,
            threat=threat,
            options=options,
            members=lambda: (Member(name, key, self.build(threat, options)),),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol(Recipe[O]):
    """Several attacks in a fixed order; an image that one of them breaks is not given to the next."""

    parts: Callable[[Threat, O], tuple[Setting, ...]]
    votes: Callable[[O], int] = lambda _: 1
    """Passes whose majority decides a success."""

    def make(self, name: str, key: str, threat: Threat, options: O) -> Setting:
        """A setting whose members are those of its parts."""
        parts = self.parts(threat, options)
        return Setting(
            name=name,
            key=key,
            threat=threat,
            options=options,
            members=lambda: tuple(member for part in parts for member in part.members()),
            votes=self.votes(options),
        )


def _invalid_option(key: str, known: Sequence[str], error: ValidationError) -> InvalidProfile:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = nearest(where, known)
        remedy = " or ".join(near) if near else "known: " + ", ".join(known)
        return InvalidProfile(f"attack `{key}` has no option `{where}`", remedy=remedy)
    if first["type"] == "missing":
        return InvalidProfile(f"attack `{key}` needs `{where}`", remedy=f"add `{where}: …` to the attack's mapping")
    return InvalidProfile(
        f"attack `{key}`: `{where or 'options'}` cannot be {first['input']!r}",
        detail=first["msg"],
        remedy="repaudit list attacks",
    )
