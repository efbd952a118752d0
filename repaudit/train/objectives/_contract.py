"""What is minimised in a step, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from torch import nn

    from repaudit.train.targets import Labelling
    from repaudit.train.trainee import Trainee


class Options(BaseModel):
    """What a recipe may say of an objective."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Images of a second set, as many a step as the objective asks for."""

    images: torch.Tensor
    """(e, c, h, w) in [0, 1], augmented as the training images are."""
    labels: torch.Tensor | None
    """(e,) pseudo-labels, where the set has any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One batch, as much of it as this process has."""

    images: torch.Tensor
    """(b, c, h, w) in [0, 1], augmented and mixed."""
    targets: torch.Tensor
    """(b, nodes), rows sum to 1."""
    labels: torch.Tensor
    """(b,) int64, of the images before they were mixed."""
    rows: torch.Tensor
    """(b,) int64, their numbers in the training set: noise is drawn by them."""
    seed: int
    epoch: int
    index: int
    """Of the step since the beginning of the run."""
    extra: Extra | None = None


class Objective(Protocol):
    """One way to turn a batch into gradients."""

    def backward(self, step: Step, trainee: Trainee) -> torch.Tensor:
        """Leaves gradients in the parameters; returns the () loss, detached."""
        ...

    def after(self, trainee: Trainee) -> None:
        """Runs when the optimiser has moved the weights."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an objective may need beside a batch."""

    labelling: Labelling
    load: Callable[[str], nn.Module]
    """A frozen network of pixels by model reference, in evaluation mode: a teacher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One objective; the constant `kind` of a file of this folder, whose name is the objective's."""

    summary: str
    """What it trains for, in one line with its source."""
    options: type[BaseModel]
    build: Callable[..., Objective]
    """`build(options, surroundings)`."""
    extra: str | None = None
    """The option that names a second set of images, where it needs one."""
    rejects: Callable[[int], int] = lambda _: 0
    """Nodes for outliers, given the number of classes."""
