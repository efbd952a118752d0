"""Knowledge distillation: the answers of a trained network in place of labels (Hinton et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from repaudit.train.objectives._contract import Kind, Minimised
from repaudit.train.objectives._teacher import DistillationOptions, divergence, taught_by
from repaudit.train.targets import entropy, soft_cross_entropy

if TYPE_CHECKING:
    from repaudit.train.objectives._contract import Step, Surroundings
    from repaudit.train.trainee import Trainee


class KnowledgeOptions(DistillationOptions):
    """As Virtual Smoothing distils: the teacher alone, very soft."""

    temperature: float = Field(default=30.0, gt=0)
    """τ, by which both networks' logits are divided."""


class Distillation:
    """γ τ² KL(teacher ‖ student) + (1 − γ) cross-entropy; the teacher sees the very images that the student sees."""

    def __init__(self, options: KnowledgeOptions, surroundings: Surroundings) -> None:
        self._options = options
        self._teacher = taught_by(surroundings, options.teacher)

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """One pass of the teacher, one of the student forward and back."""
        options = self._options
        with torch.no_grad():
            wanted = self._teacher(step.images)
        logits = trainee.learn(step.images)
        apart = divergence(logits, wanted, trainee.labelling.classes, options.temperature)
        loss = options.gamma * apart + (1 - options.gamma) * soft_cross_entropy(logits, step.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return Minimised(loss.detach(), (1 - options.gamma) * entropy(step.targets))

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""


kind = Kind(
    summary="KD: the answers of a teacher in place of labels (Hinton et al. 2015)",
    options=KnowledgeOptions,
    build=Distillation,
)
