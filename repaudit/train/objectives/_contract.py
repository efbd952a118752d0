"""What is minimised in a step, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from torch import nn

    from repaudit.train.distributed import Ranks
    from repaudit.train.streams import Purpose
    from repaudit.train.targets import Labelling
    from repaudit.train.trainee import Trainee


class Options(BaseModel):
    """What a recipe may say of an objective."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Images of a second set, as many a step as the objective asks for."""

    images: torch.Tensor
    """(e, c, h, w) in [0, 1], augmented as the training images are."""
    labels: torch.Tensor
    """(e,) int64, pseudo-labels; of outliers they mean nothing."""
    rows: torch.Tensor
    """(e,) int64, their numbers, counted on after those of the training set: noise is drawn by them."""
    lap: int
    """How often the whole set was gone through before: what an epoch is to the training images."""


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


@dataclass(frozen=True, slots=True)
class Minimised:
    """What came of a step."""

    loss: torch.Tensor
    """() detached."""
    floor: torch.Tensor
    """() the least that the loss can be on these targets: what lies above it is comparable between methods."""


class Objective(Protocol):
    """One way to turn a batch into gradients."""

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """Leaves gradients in the parameters; calls `trainee.learn` once."""
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
    ranks: Ranks
    """Of this process among those that train together."""
    blank: torch.Tensor
    """(1, c, h, w) zeros on the device of the run: what a teacher must be able to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Images that an objective learns from beside the training set."""

    option: str
    """The one that names them."""
    reference: str
    """Of the images, as that option has it."""
    ratio: int
    """So many of them for each image of a batch."""
    labelled: bool
    """Whether their labels are classes of the training set."""
    purpose: Purpose
    """Of the stream that orders them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One objective; the constant `kind` of a file of this folder, whose name is the objective's."""

    summary: str
    """What it trains for, in one line with its source."""
    options: type[BaseModel]
    build: Callable[..., Objective]
    """`build(options, surroundings)`."""
    second: Callable[..., Second] | None = None
    """`second(options)`, where it needs a second set of images."""
    rejects: Callable[[int], int] = lambda _: 0
    """Nodes for outliers, given the number of classes."""
