"""The search for a worse image that adversarial training makes in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import BeforeValidator, Field
from torch.nn import functional as F

from repaudit.attacks.noise import normals, uniform_in_ball
from repaudit.attacks.threat import Norm, Threat, parse_length
from repaudit.train.objectives._contract import Options
from repaudit.train.streams import Purpose, row_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from repaudit.train.objectives._contract import Step
    from repaudit.train.trainee import Trainee

Length = Annotated[float, BeforeValidator(parse_length), Field(le=1)]
"""Of pixels in [0, 1], such as `8/255`."""
NEARBY = 0.001
"""Standard deviation of the start of a search whose gradient is zero at the image itself (Zhang et al. 2019)."""


class AttackOptions(Options):
    """PGD-10 within 8/255 by default, as both papers train; they write .031 and .00784."""

    epsilon: Length = 8 / 255
    """Radius of the Linf ball, such as 8/255."""
    step_size: Length = 2 / 255
    """Length of one step."""
    steps: int = Field(default=10, ge=1)
    """Steps of the search for one image."""


def start_keys(step: Step) -> torch.Tensor:
    """(b + e,) int64: a stream for each image of the batch and of the second set, whichever batch it is in."""
    own = row_keys(step.seed, Purpose.ATTACK_START, step.epoch, step.rows)
    if step.extra is None:
        return own
    return torch.cat([own, row_keys(step.seed, Purpose.ATTACK_START, step.extra.lap, step.extra.rows)])


def uniform_start(images: torch.Tensor, keys: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Uniformly in the ball around each image, within [0, 1]."""
    return (images + uniform_in_ball(Threat(Norm.LINF, epsilon), keys, images.shape[1:])).clamp(0, 1)


def nearby_start(images: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Each image + .001 · N(0, 1), within [0, 1]."""
    return (images + NEARBY * normals(keys, images[0].numel()).reshape(images.shape)).clamp(0, 1)


def climbed(
    trainee: Trainee,
    images: torch.Tensor,
    start: torch.Tensor,
    options: AttackOptions,
    gain: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Steps x' ← Π(x' + step · sign ∇ gain(z(x'))), Π onto the ball around `images` and then onto [0, 1].

    The same step as `repaudit.attacks.pgd`. The network is in evaluation mode and its parameters take no gradients, so
    that a search leaves no trace in running statistics.

    Args:
        trainee: what is attacked.
        images: (b, c, h, w) in [0, 1].
        start: (b, c, h, w), the first iterate.
        options: radius, length and number of steps.
        gain: () of (b, nodes) float32 logits, a sum over rows.

    Returns:
        (b, c, h, w): the last iterate.
    """
    threat, iterate = Threat(Norm.LINF, options.epsilon), start
    with trainee.attacked():
        for _ in range(options.steps):
            pixels = iterate.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(gain(trainee.answer(pixels).float()), pixels)
            moved = pixels.detach() + options.step_size * threat.steepest(gradient)
            iterate = (images + threat.project(moved - images)).clamp(0, 1)
    return iterate.detach()


def against_labels(
    trainee: Trainee, images: torch.Tensor, targets: torch.Tensor, start: torch.Tensor, options: AttackOptions
) -> torch.Tensor:
    """(b, c, h, w): cross-entropy of hard labels raised, over all nodes that the network has.

    Args:
        trainee: what is attacked.
        images: (b, c, h, w) in [0, 1].
        targets: (b, nodes); the real class with the largest share is the label.
        start: (b, c, h, w), the first iterate.
        options: of the search.
    """
    labels = targets[:, : trainee.labelling.classes].argmax(1)
    return climbed(trainee, images, start, options, lambda logits: F.cross_entropy(logits, labels, reduction="sum"))


def against_answer(trainee: Trainee, images: torch.Tensor, start: torch.Tensor, options: AttackOptions) -> torch.Tensor:
    """(b, c, h, w): KL(p(x) ‖ p(x')) raised, over all nodes (Zhang et al. 2019, algorithm 1).

    Args:
        trainee: what is attacked.
        images: (b, c, h, w) in [0, 1].
        start: (b, c, h, w), the first iterate; not the images, where the divergence has no gradient.
        options: of the search.
    """
    with trainee.attacked(), torch.no_grad():
        natural = trainee.answer(images).float().softmax(1)
    return climbed(
        trainee,
        images,
        start,
        options,
        lambda logits: F.kl_div(logits.log_softmax(1), natural, reduction="sum"),
    )
