"""What a trained network teaches: its softened probabilities of the real classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch.nn import functional as F

from repaudit.errors import InvalidRecipe, UsageError
from repaudit.profiles.shown import shown
from repaudit.train.objectives._contract import Options

if TYPE_CHECKING:
    from torch import nn

    from repaudit.train.objectives._contract import Surroundings

_REMEDY = "--set objective.teacher=FILE.safetensors"


class DistillationOptions(Options):
    """What both kinds of distillation are told."""

    teacher: str = Field(min_length=1)
    """Model reference of the network that teaches, such as DIR/onehot-seed0/model.safetensors."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Weight of the teacher; the labels have the rest."""


def taught_by(surroundings: Surroundings, reference: str) -> nn.Module:
    """The teacher, once it has answered an image.

    Raises:
        InvalidRecipe: it cannot be loaded, cannot take such images or knows fewer classes.
    """
    try:
        teacher = surroundings.load(reference)
    except UsageError as error:
        raise InvalidRecipe(f"objective.teacher: {error.problem}", detail=error.detail, remedy=_REMEDY) from None
    channels, height, width = surroundings.blank.shape[1:]
    try:
        with torch.no_grad():
            known = teacher(surroundings.blank).shape[1]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InvalidRecipe(
            f"objective.teacher: {shown(reference)} does not take images of {channels} × {height} × {width}",
            detail=str(error),
            remedy=_REMEDY,
        ) from None
    if known < surroundings.labelling.classes:
        raise InvalidRecipe(
            f"objective.teacher: {shown(reference)} knows {known} classes, the images have "
            f"{surroundings.labelling.classes}",
            remedy=_REMEDY,
        )
    return teacher


def divergence(student: torch.Tensor, teacher: torch.Tensor, classes: int, temperature: float) -> torch.Tensor:
    """τ² · KL(softmax(z_T / τ) ‖ softmax(z_S / τ)) over the real classes, mean over rows (Hinton et al. 2015).

    Args:
        student: (b, K or more) logits, of which the first K count.
        teacher: (b, K or more) likewise.
        classes: K.
        temperature: τ > 0.
    """
    own, wanted = ((logits[:, :classes].float() / temperature).log_softmax(1) for logits in (student, teacher))
    return temperature**2 * F.kl_div(own, wanted, reduction="batchmean", log_target=True)
