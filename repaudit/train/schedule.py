"""The learning rate of every step: a function of the step and of nothing that went before."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import cos, pi


class Shape(StrEnum):
    """How the rate falls after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"
    """To `floor` along half a cosine (Loshchilov & Hutter 2017, eq. 5)."""
    STEPS = "steps"
    """Times `factor` at each of the milestones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Rates in the units of the optimiser, times in epochs."""

    peak: float
    shape: Shape
    epochs: int
    warmup_epochs: float = 0
    warmup_from: float = 0.0
    floor: float = 0.0
    milestones: tuple[float, ...] = ()
    factor: float = 0.1

    def rate(self, epoch: float) -> float:
        """The rate at a time in epochs, in [0, epochs); a step uses the time at which it begins."""
        if epoch < self.warmup_epochs:
            return self.warmup_from + (self.peak - self.warmup_from) * epoch / self.warmup_epochs
        match self.shape:
            case Shape.CONSTANT:
                return self.peak
            case Shape.STEPS:
                return self.peak * self.factor ** sum(epoch >= milestone for milestone in self.milestones)
            case Shape.COSINE:
                done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
                return self.floor + (self.peak - self.floor) * (1 + cos(pi * done)) / 2
