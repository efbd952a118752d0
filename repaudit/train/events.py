"""What a matrix tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from repaudit.train.journal import Epoch


@dataclass(frozen=True, slots=True)
class Began:
    """A process took up a run."""

    run: str
    epoch: int
    """Epochs that an earlier call had finished."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """An epoch is over."""

    run: str
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Trained:
    """A run's checkpoint is exported."""

    run: str
    accuracy: float
    """On the test images, in [0, 1]."""
    earlier: bool
    """By an earlier call."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A run's report is written."""

    run: str
    exit_code: int
    """0, or 1 where a gate of the profile failed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A run could not finish; the others go on."""

    run: str
    message: str


@dataclass(frozen=True, slots=True)
class Paused:
    """A run was asked to stop; its checkpoint holds everything up to there."""

    run: str


Event: TypeAlias = Began | Advanced | Trained | Audited | Failed | Paused
