"""Adversarially robust distillation: a teacher's clean answers, learned at attacked images (Goldblum et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from repaudit.train.objectives._attack import AttackOptions, against_labels, start_keys, uniform_start
from repaudit.train.objectives._contract import Kind, Minimised
from repaudit.train.objectives._teacher import DistillationOptions, divergence, taught_by
from repaudit.train.targets import entropy, soft_cross_entropy

if TYPE_CHECKING:
    from repaudit.train.objectives._contract import Step, Surroundings
    from repaudit.train.trainee import Trainee


class RobustDistillationOptions(DistillationOptions, AttackOptions):
    """As Virtual Smoothing distils robust networks."""

    temperature: float = Field(default=1.0, gt=0)
    """τ, by which both networks' logits are divided."""


class RobustDistillation:
    """γ τ² KL(teacher(x) ‖ student(x')) + (1 − γ) cross-entropy of the student's clean answer.

    x' comes from PGD on hard labels through the student, with a uniform start.
    """

    def __init__(self, options: RobustDistillationOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._teacher = taught_by(surroundings, options.teacher)

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """A search in evaluation mode, one pass of the teacher, one of the student forward and back."""
        options = self._options
        with torch.no_grad():
            wanted = self._teacher(step.images)
        start = uniform_start(step.images, start_keys(step), options.epsilon)
        worse = against_labels(trainee, step.images, step.targets, start, options)
        # clean images go along only where they are learned from: batch normalisation would see them
        seen = worse if options.gamma == 1 else torch.cat([worse, step.images])
        logits = trainee.learn(seen)
        attacked, clean = logits[: len(worse)], logits[len(worse) :]
        loss = options.gamma * divergence(attacked, wanted, trainee.labelling.classes, options.temperature)
        if options.gamma < 1:
            loss = loss + (1 - options.gamma) * soft_cross_entropy(clean, step.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return Minimised(loss.detach(), (1 - options.gamma) * entropy(step.targets))

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""


kind = Kind(
    summary="ARD: a robust teacher's clean answers at attacked images (Goldblum et al. 2020)",
    options=RobustDistillationOptions,
    build=RobustDistillation,
)
