"""Projected gradient descent: repeated steepest steps, here on the cross-entropy, kept inside the ball."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator

from repaudit.attacks import Attack, Method, Options, Rows
from repaudit.attacks.noise import step_keys, uniform_in_ball
from repaudit.attacks.objectives import Objective, cross_entropy
from repaudit.attacks.threat import Threat, parse_length

START_STEP = 0
"""The only step at which this attack draws noise."""


class PgdOptions(Options):
    """What a profile may say of PGD."""

    steps: int = Field(ge=1)
    """Steps of one search."""
    step_size: Annotated[float, BeforeValidator(parse_length)]
    """Length of one step in the threat's norm, such as `2/255`."""
    start: Literal["uniform", "clean"] = "uniform"
    """Uniformly in the ball, from the image's own random stream; or at the image itself."""
    restarts: int = Field(default=1, ge=1)
    """Searches an image, each from its own start."""

    @model_validator(mode="after")
    def _restarts_differ(self) -> Self:
        if self.start == "clean" and self.restarts > 1:
            raise ValueError("restarts from the clean image would all be the same search")
        return self


class ProjectedGradient(Attack):
    """x ← Π(x + step · steepest(∇ objective)), Π onto the ball and then onto [0, 1] (Madry et al. 2018, eq. in §2.1).

    A row whose gradient is exactly zero stays where it is; the harness counts such rows.
    """

    def __init__(self, threat: Threat, options: PgdOptions, objective: Objective = cross_entropy) -> None:
        self.threat = threat
        self._objective = objective
        self.steps = options.steps
        self.restarts = options.restarts
        self._step_size = options.step_size
        self._uniform = options.start == "uniform"

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps the current iterate of each row."""
        self._iterate = like.new_empty((capacity, *like.shape))

    def begin(self, rows: Rows) -> None:
        """Starts in the ball or at the image."""
        start = rows.clean
        if self._uniform:
            keys = step_keys(rows.keys, START_STEP)
            start = (start + uniform_in_ball(self.threat, keys, start.shape[1:])).clamp(0, 1)
        self._iterate[rows.index] = start

    def propose(self, rows: Rows) -> torch.Tensor:
        """The iterate itself: every iterate is judged."""
        return self._iterate[rows.index]

    def objective(self, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
        """That of the construction; it must not need targets."""
        return self._objective(logits, rows.labels, rows.targets)

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """One projected step."""
        if gradient is None:
            raise ValueError("PGD cannot step without a gradient")
        moved = self._iterate[rows.index] + self._step_size * self.threat.steepest(gradient)
        self._iterate[rows.index] = (rows.clean + self.threat.project(moved - rows.clean)).clamp(0, 1)


attack = Method(
    summary="Projected gradient descent on the cross-entropy, Linf or L2; any iterate counts.",
    options=PgdOptions,
    build=ProjectedGradient,
    presets={
        # arXiv 2410.03999, the weak and the strong attack: 7 steps each
        "pgd_w": {"epsilon": "0.4/255", "steps": 7, "step_size": "0.2/255"},
        "pgd_s": {"epsilon": "8/255", "steps": 7, "step_size": "2/255"},
        # Training Deep Neural Networks with Virtual Smoothing Classes (AAAI 2025), its PGD-20; the paper writes 8/255
        # as .031 and 2/255 as .00784
        "pgd_20": {"epsilon": "8/255", "steps": 20, "step_size": "2/255"},
    },
)
