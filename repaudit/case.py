"""All that an audit may use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict

from repaudit.randomness import generator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from repaudit.classifier import Classifier
    from repaudit.evidence import Evidence
    from repaudit.images import ImageSet
    from repaudit.progress import Progress


class Parameters(BaseModel):
    """Base of every audit's parameters: frozen, an unknown key is an error, each field says below itself what it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationShape:
    """How many rows the network is called with: a verdict must not depend on neighbours."""

    rows: int
    """Rows of every call, at least 8; short calls are padded."""
    calls: int
    """How many such calls the attack pool holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What a scan may keep on disk, and find there."""

    cache: Path | None = None
    """Folder of kept work; None keeps nothing."""
    identity: Mapping[str, object] = field(default_factory=dict)
    """JSON values that every answer of the network depends on."""
    fresh: bool = False
    """Forget what earlier runs left."""
    adversarials: Path | None = None
    """Folder for adversarial images; None saves none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What may be done to load another model."""

    offline: bool = False
    """The network must not be touched."""
    trust_pickle: bool = False
    """Checkpoints that run code when read may be loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Generic[P]):
    """One classifier on one set of images, with what one clean pass left."""

    classifier: Classifier
    images: ImageSet
    evidence: Evidence
    parameters: P
    seed: int
    shape: EvaluationShape
    progress: Progress
    storage: Storage = field(default_factory=Storage)
    permissions: Permissions = field(default_factory=Permissions)
    dtype: torch.dtype = torch.float32
    """Of the clean pass and of searches; what counts is asked in float32."""

    def random(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose: one audit's draws never move another's."""
        return generator(self.seed, purpose)
