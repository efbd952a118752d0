"""Images of no class, learned from beside those that have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from repaudit.train.objectives._contract import Minimised, Options, Second
from repaudit.train.streams import Purpose
from repaudit.train.targets import entropy, soft_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from repaudit.train.objectives._contract import Step
    from repaudit.train.trainee import Trainee


class OutlierOptions(Options):
    """Where outliers come from, and how many."""

    outliers: str = Field(min_length=1)
    """Reference of images that belong to no class, such as npz:FILE with `images`; labels are not looked at."""
    ratio: int = Field(default=2, ge=1)
    """Outliers for each image of the batch: 256 beside 128, as outlier exposure was published."""


def outliers_of(options: OutlierOptions) -> Second:
    """The set that an objective with outliers learns from."""
    return Second(
        option="outliers", reference=options.outliers, ratio=options.ratio, labelled=False, purpose=Purpose.OUTLIERS
    )


def learn_with_outliers(
    step: Step, trainee: Trainee, weight: float, targets_of: Callable[[torch.Tensor], torch.Tensor]
) -> Minimised:
    """Cross-entropy of the batch + weight · that of the outliers, both through the network in one pass.

    Args:
        step: with outliers.
        trainee: what learns.
        weight: of the outliers.
        targets_of: (e, nodes) targets of the outliers' (e, nodes) logits.
    """
    if step.extra is None:
        raise ValueError("a step without outliers")
    logits = trainee.learn(torch.cat([step.images, step.extra.images]))
    own, foreign = logits[: len(step.images)], logits[len(step.images) :]
    targets = targets_of(foreign.detach())
    loss = soft_cross_entropy(own, step.targets) + weight * soft_cross_entropy(foreign, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    return Minimised(loss.detach(), entropy(step.targets) + weight * entropy(targets))
