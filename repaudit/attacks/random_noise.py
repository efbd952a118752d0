"""Random search: every query is an independent draw from the ball, whatever the network answered before."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from repaudit.attacks import Attack, Method, Options, Rows
from repaudit.attacks.noise import step_keys, uniform_in_ball
from repaudit.attacks.threat import Threat


class RandomNoiseOptions(Options):
    """What a profile may say of random search."""

    queries: int = Field(default=100, ge=1)
    """Draws an image."""


class RandomNoise(Attack):
    """x + δ with δ uniform in the ball, clipped to [0, 1]; draw k is a hash of the job's stream and k.

    No attack at all, but a yardstick for one: what chance alone finds at a radius (the random attack of
    Zimmermann et al. 2022, section 3).
    """

    directions: Literal[0, 1] = 0

    def __init__(self, threat: Threat, options: RandomNoiseOptions) -> None:
        self.threat = threat
        self.steps = options.queries - 1

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Nothing: a draw needs the row's key and count only."""

    def begin(self, rows: Rows) -> None:
        """Nothing is carried from query to query."""

    def propose(self, rows: Rows) -> torch.Tensor:
        """The next draw of each row."""
        drawn = uniform_in_ball(self.threat, step_keys(rows.keys, rows.iteration), rows.clean.shape[1:])
        return drawn.add_(rows.clean)

    def objective(self, rows: Rows, logits: torch.Tensor) -> None:
        """None: it asks for no gradient."""

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Answers change nothing."""


attack = Method(
    summary="Random search: independent uniform draws from the ball, no gradients; a yardstick, not an attack.",
    options=RandomNoiseOptions,
    build=RandomNoise,
    presets={"random_noise": {"epsilon": "8/255"}},
)
