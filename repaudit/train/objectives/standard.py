"""Cross-entropy with soft labels: what all regularisers of labels are trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.train.objectives._contract import Kind, Minimised, Options
from repaudit.train.targets import entropy, soft_cross_entropy

if TYPE_CHECKING:
    from repaudit.train.objectives._contract import Step, Surroundings
    from repaudit.train.trainee import Trainee


class StandardOptions(Options):
    """It has none."""


class Standard:
    """−Σ t log p on the images as they are."""

    def __init__(self, options: StandardOptions, surroundings: Surroundings) -> None:
        pass

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """One pass forward and back."""
        loss = soft_cross_entropy(trainee.learn(step.images), step.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return Minimised(loss.detach(), entropy(step.targets))

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""


kind = Kind(
    summary="cross-entropy with soft labels on the images as they are",
    options=StandardOptions,
    build=Standard,
)
