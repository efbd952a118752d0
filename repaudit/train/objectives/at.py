"""Adversarial training: the loss at the worst image that a search finds (Madry et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.train.objectives._attack import AttackOptions, against_labels, start_keys, uniform_start
from repaudit.train.objectives._contract import Kind, Minimised
from repaudit.train.targets import entropy, soft_cross_entropy

if TYPE_CHECKING:
    from repaudit.train.objectives._contract import Step, Surroundings
    from repaudit.train.trainee import Trainee


class AdversarialTraining:
    """−Σ t log p(x'), x' from PGD on hard labels with a uniform start; clean images are not learned from."""

    def __init__(self, options: AttackOptions, surroundings: Surroundings) -> None:
        self._options = options

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """A search in evaluation mode, then one pass forward and back."""
        start = uniform_start(step.images, start_keys(step), self._options.epsilon)
        worse = against_labels(trainee, step.images, step.targets, start, self._options)
        loss = soft_cross_entropy(trainee.learn(worse), step.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return Minimised(loss.detach(), entropy(step.targets))

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""


kind = Kind(
    summary="AT: soft labels on the images that PGD-10 finds (Madry et al. 2018)",
    options=AttackOptions,
    build=AdversarialTraining,
)
