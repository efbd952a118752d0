"""One question a file; the file's name is the audit's id.

An audit is a module of this folder with a constant `audit`. Files are found by listing the folder and
imported only when used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeAlias

import torch
from pydantic import ValidationError

from repaudit.case import Case, EvaluationShape, P, Parameters, Permissions, Storage
from repaudit.errors import InvalidProfile, nearest

if TYPE_CHECKING:
    from repaudit.classifier import Capability, Classifier
    from repaudit.evidence import Evidence
    from repaudit.finding import Definition, Finding, KeySpec
    from repaudit.images import ImageSet
    from repaudit.progress import Progress

Place: TypeAlias = tuple[str | int, ...]


class InvalidAudit(InvalidProfile):
    """An audit that does not exist, or a parameter of one that does not fit; the remedy is for the command line."""

    def __init__(self, problem: str, *, detail: str = "", remedy: str = "", place: Place = (), edit: str = "") -> None:
        super().__init__(problem, detail=detail, remedy=remedy)
        self.place = place
        """Of the parameter, below the audit."""
        self.edit = edit
        """What mends it in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything of a case but the audit's own parameters."""

    classifier: Classifier
    images: ImageSet
    evidence: Evidence
    seed: int
    shape: EvaluationShape
    progress: Progress
    storage: Storage = field(default_factory=Storage)
    permissions: Permissions = field(default_factory=Permissions)
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Which keys an audit can yield under some parameters, and which only other parameters would give."""

    declared: tuple[KeySpec, ...]
    elsewhere: Mapping[str, str]
    """By key pattern, the `--set` that would make the audit yield it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Generic[P]):
    """One question that can be asked of a classifier on labelled images."""

    question: str
    """In plain words, such as `How often is it right?`."""
    version: int
    """Rises when the same inputs give another number."""
    needs: frozenset[Capability]
    declared: tuple[KeySpec, ...]
    """Every key it can yield under any parameters."""
    definitions: Mapping[str, Definition]
    """What each declared key is, by its pattern."""
    parameters: type[P]
    run: Callable[[Case[P]], Iterable[Finding]]
    offer: Callable[[P], Offer] | None = None
    """Narrows `declared` where parameters decide which keys there are; None where they do not."""
    check: Callable[[P, Classifier, Permissions], None] | None = None
    """Refuses parameters that do not fit the model, by a `UsageError`; asked before anything is measured."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Patterns of all its keys, `*` for one segment."""
        return tuple(spec.pattern for spec in self.declared)

    def bind(self, name: str, raw: Mapping[str, object]) -> BoundAudit:
        """Validates parameters as a profile gives them.

        Raises:
            InvalidProfile: an unknown parameter (with the nearest names) or a value of the wrong kind.
        """
        try:
            resolved = self.parameters.model_validate(dict(raw))
        except ValidationError as error:
            raise _invalid_parameter(name, self.parameters, error) from None

        def run(material: Material) -> Iterable[Finding]:
            return self.run(
                Case(
                    classifier=material.classifier,
                    images=material.images,
                    evidence=material.evidence,
                    parameters=resolved,
                    seed=material.seed,
                    shape=material.shape,
                    progress=material.progress,
                    storage=material.storage,
                    permissions=material.permissions,
                    dtype=material.dtype,
                )
            )

        def check(classifier: Classifier, permissions: Permissions) -> None:
            if self.check is not None:
                self.check(resolved, classifier, permissions)

        offer = Offer(declared=self.declared, elsewhere={}) if self.offer is None else self.offer(resolved)
        return BoundAudit(
            id=name,
            question=self.question,
            version=self.version,
            needs=self.needs,
            offer=offer,
            parameters=resolved,
            run=run,
            check=check,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundAudit:
    """An audit with its parameters; what a scan runs."""

    id: str
    question: str
    version: int
    needs: frozenset[Capability]
    offer: Offer
    parameters: Parameters
    run: Callable[[Material], Iterable[Finding]]
    check: Callable[[Classifier, Permissions], None]
    """Refuses parameters that do not fit the model, before anything is measured."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Patterns of the keys that it can yield with these parameters."""
        return tuple(spec.pattern for spec in self.offer.declared)


def names() -> list[str]:
    """Ids of all audits, without importing one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Audit[Parameters]:
    """The audit called `name`.

    Raises:
        InvalidProfile: there is no such audit; the nearest name is suggested.
    """
    known = names()
    if name not in known:
        near = nearest(name, known, 1)
        raise InvalidAudit(
            f"there is no audit `{name}`",
            detail=f"known: {', '.join(known)}",
            remedy=f"--audits {near[0]}" if near else "repaudit list audits",
            edit=f"`{near[0]}` instead of `{name}`" if near else "",
        )
    audit = import_module(f"repaudit.audits.{name}").audit
    if not isinstance(audit, Audit):
        raise TypeError(f"repaudit/audits/{name}.py must define `audit = Audit(…)`")
    return audit


def bind(name: str, raw: Mapping[str, object]) -> BoundAudit:
    """The audit called `name` with the parameters of a profile.

    Raises:
        InvalidProfile: there is no such audit, or a parameter does not fit.
    """
    return load(name).bind(name, raw)


def _invalid_parameter(name: str, parameters: type[Parameters], error: ValidationError) -> InvalidAudit:
    first = error.errors()[0]
    place = first["loc"]
    where = ".".join(str(part) for part in place)
    listed = f"repaudit list audits {name}"
    if first["type"] == "extra_forbidden":
        near = nearest(where, parameters.model_fields, 1)
        return InvalidAudit(
            f"audit `{name}` has no parameter `{where}`",
            detail=f"its parameters: {', '.join(parameters.model_fields) or 'none'}",
            remedy=f"--set {name}.{near[0]}=…" if near else listed,
            place=place,
            edit=f"`{near[0]}:` instead of `{where}:`" if near else "",
        )
    return InvalidAudit(
        f"audit `{name}`: `{where}` cannot be {first['input']!r}", detail=first["msg"], remedy=listed, place=place
    )
