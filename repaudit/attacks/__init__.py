"""One attack a file; the file's name is its id. `pool.py` schedules, `harness.py` alone judges.

An attack is a module of this folder with a constant `attack`, a `Method`. What it builds is a state machine
over rows of the pool: it proposes queries, says which scalar's gradient it wants at them, and is told what
the network answered. It never learns whether it succeeded: a row simply stops coming back.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from repaudit.attacks.threat import Norm, Threat, parse_threat
from repaudit.errors import InvalidProfile, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINE = frozenset(
    {
        "adversarials",
        "asking",
        "checks",
        "harness",
        "intake",
        "journal",
        "ledger",
        "noise",
        "objectives",
        "outcomes",
        "pool",
        "reference",
        "rounding",
        "scout",
        "search",
        "threat",
        "verdict",
        "voting",
    }
)
"""Files of this folder that are no attacks."""
UNTARGETED = -1
"""The target of a job that accepts any wrong class."""
KEY = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Rows:
    """The jobs that one call concerns, r of them."""

    index: torch.Tensor
    """(r,) int64: rows of the pool; an attack keeps a job's state at its row."""
    clean: torch.Tensor
    """(r, c, h, w) float32 in [0, 1]: the images under attack."""
    labels: torch.Tensor
    """(r,) int64."""
    targets: torch.Tensor
    """(r,) int64: the class to reach, or `UNTARGETED`."""
    iteration: torch.Tensor
    """(r,) int64: how many queries of this job were answered before."""
    keys: torch.Tensor
    """(r,) int64: the noise stream of each job; `noise.step_keys` gives those of its steps."""

    def __len__(self) -> int:
        return len(self.index)

    def select(self, chosen: torch.Tensor | slice) -> Rows:
        """Only the rows at positions `chosen`."""
        return Rows(
            self.index[chosen],
            self.clean[chosen],
            self.labels[chosen],
            self.targets[chosen],
            self.iteration[chosen],
            self.keys[chosen],
        )


class Attack(ABC):
    """A search for a perturbation, as a state machine over rows; built anew for every evaluation.

    The life of a job: `begin`, then `propose` → (`objective`) → `update` for every query but the last, and a last
    `propose`, after which nothing is left to decide (see `finished`). The first query lies within the threat.
    Work on one row must not depend on any other row. A row that stops coming back was broken by its last query,
    or its image was by another job; state at its place is simply begun anew.
    """

    threat: Threat
    steps: int
    """Updates of one job at most; where an attack does not say otherwise it makes `steps` + 1 queries."""
    restarts: int = 1
    """Jobs an image and target."""
    directions: Literal[0, 1] = 1
    """Gradients a query; 0 for attacks that need none, which then cost no backward pass."""
    samples: int = 1
    """Passes a gradient is averaged over (expectation over transformations)."""

    def targets(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The targets to try on each image, in this order.

        Args:
            logits: (n, c) of the clean images.
            labels: (n,).

        Returns:
            (n, t) int64; one column of `UNTARGETED` unless an attack says otherwise.
        """
        return np.full((len(labels), 1), UNTARGETED, dtype=np.int64)

    def notes(self, classes: int) -> tuple[str, ...]:
        """What it does otherwise than its name says on so many classes, each in a few words for the report."""
        return ()

    @abstractmethod
    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Makes room for the state of `capacity` rows of images like `like` (c, h, w)."""

    @abstractmethod
    def begin(self, rows: Rows) -> None:
        """New jobs enter these rows: whatever their state held is over."""

    @abstractmethod
    def propose(self, rows: Rows) -> torch.Tensor:
        """(r, c, h, w): what to ask the network next. Clipped to [0, 1] by the harness, never projected."""

    def finished(self, index: np.ndarray, iteration: np.ndarray) -> np.ndarray:
        """(r,) bool: jobs whose present query is their last; `update` is not called for it.

        Args:
            index: (r,) rows of the pool, on the host; asked between `propose` and `update`.
            iteration: (r,) queries of the job that were answered before the present one.
        """
        return iteration == self.steps

    def wants_gradient(self, index: np.ndarray, iteration: np.ndarray) -> np.ndarray:
        """(r,) bool: rows that ask for `objective` at their present query; the others cost no backward pass.

        Asked before `propose`, with the arguments of `finished`.
        """
        return (iteration < self.steps) & (self.directions > 0)

    @abstractmethod
    def objective(self, rows: Rows, logits: torch.Tensor) -> torch.Tensor | None:
        """(r,): the scalar whose gradient with respect to the query is wanted; None where `directions` is 0."""

    @abstractmethod
    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Takes the network's answer to the last query.

        Args:
            rows: those whose job goes on.
            logits: (r, c).
            objective: (r,), or None at queries without a gradient.
            gradient: (r, c, h, w), finite (what was not is 0), or None likewise.
        """


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

    @property
    def gradients(self) -> bool:
        """Some of its queries need a gradient."""
        return any(member.attack.directions for member in self.members())

    def as_dict(self) -> dict[str, object]:
        """JSON values that `resolve` turns into an equal setting."""
        threat = {"norm": self.threat.norm.value, "epsilon": self.threat.epsilon}
        return {"name": self.name, "key": self.key, **threat, **self.options.model_dump(mode="json")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Generic[O]):
    """A way of attacking: what a file of this folder defines as `attack`."""

    summary: str
    """One sentence for `repaudit list attacks`."""
    options: type[O]
    build: Callable[[Threat, O], Attack]
    presets: Mapping[str, Mapping[str, object]]
    """Settings with a name of their own, such as `pgd_w`, each with its source in the file."""

    def bind(self, name: str, key: str, threat: Threat, raw: Mapping[str, object]) -> Setting:
        """Validates the options of a profile.

        Raises:
            InvalidProfile: an unknown option (with the nearest names) or a value of the wrong kind.
        """
        try:
            options = self.options.model_validate(dict(raw))
        except ValidationError as error:
            raise _invalid_option(key, [*_COMMON, *self.options.model_fields], error) from None
        return Setting(
            name=name,
            key=key,
            threat=threat,
            options=options,
            members=lambda: (Member(name, key, self.build(threat, options)),),
        )


_COMMON = ("name", "key", "norm", "epsilon")


def names() -> list[str]:
    """Ids of all attacks, without importing one."""
    stems = {path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    return sorted(stems - ENGINE)


def load(name: str) -> Method[Options]:
    """The attack called `name`.

    Raises:
        InvalidProfile: there is no such attack; the nearest names are suggested.
    """
    if name not in names():
        raise _unknown(name, names())
    method = import_module(f"repaudit.attacks.{name}").attack
    if not isinstance(method, Method):
        raise TypeError(f"repaudit/attacks/{name}.py must define `attack = Method(…)`")
    return method


def presets() -> dict[str, dict[str, object]]:
    """Every named setting in the mapping form of a profile."""
    return {preset: {"name": name, **raw} for name in names() for preset, raw in load(name).presets.items()}


def resolve(raw: object) -> Setting:
    """One entry of a profile's list of attacks: a preset's name, or a mapping with `name` and `epsilon`.

    A mapping's `name` may be a preset, whose values it then overrides.

    Raises:
        InvalidProfile: no such attack, a threat or an option that cannot be, a key of forbidden letters.
    """
    entry: Mapping[object, object] = {"name": raw} if isinstance(raw, str) else raw if isinstance(raw, Mapping) else {}
    asked = entry.get("name")
    if not isinstance(asked, str):
        raise InvalidProfile(
            f"`{raw}` names no attack", remedy="attacks: [pgd_w, {name: pgd, key: pgd_2, epsilon: 2/255, …}]"
        )
    named = presets()
    if asked not in named and asked not in names():
        raise _unknown(asked, [*names(), *named])
    values = {"key": asked, "norm": Norm.LINF, **named.get(asked, {"name": asked})}
    values.update((str(option), value) for option, value in entry.items() if option != "name")
    name, key = str(values.pop("name")), values.pop("key")
    if not isinstance(key, str) or not KEY.fullmatch(key) or key == "worst":
        raise InvalidProfile(
            f"`{key}` cannot be the key of an attack",
            detail="Lower-case letters, digits, `_` and `-`, beginning with a letter; `worst` is the union of all.",
            remedy=f"key: {name}_2",
        )
    if "epsilon" not in values:
        raise InvalidProfile(f"attack `{key}` needs a radius", remedy=f"{{name: {asked}, epsilon: 8/255, …}}")
    threat = parse_threat(values.pop("norm"), values.pop("epsilon"))
    return load(name).bind(name, key, threat, values)


def _unknown(name: str, known: Sequence[str]) -> InvalidProfile:
    near = nearest(name, dict.fromkeys(known))
    return InvalidProfile(
        f"there is no attack `{name}`",
        detail="known: " + ", ".join(sorted(set(known))),
        remedy=" or ".join(near) if near else "repaudit list attacks",
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
