"""What an attack is: a state machine over rows of the pool that never judges itself.

It proposes queries, says which scalar's gradient it wants at them, and is told what the network answered. It never
learns whether it succeeded: a row simply stops coming back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from repaudit.attacks.threat import Threat

UNTARGETED = -1
"""The target of a job that accepts any wrong class."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The jobs that one call concerns, r of them."""

    index: torch.Tensor
    """(r,) int64: rows of the pool; an attack keeps a job's state at its row."""
    clean: torch.Tensor
    """(r, c, h, w) float32 in [0, 1]: the images under attack."""
    labels: torch.Tensor
    """(r,) int64."""
    targets: torch.Tensor
    """(r,) int64: the class to reach, or `UNTARGETED`."""
    iteration: torch.Tensor
    """(r,) int64: how many queries of this job were answered before."""
    keys: torch.Tensor
    """(r,) int64: the noise stream of each job; `noise.step_keys` gives those of its steps."""

    def __len__(self) -> int:
        return len(self.index)

    def select(self, chosen: torch.Tensor | slice) -> Rows:
        """Only the rows at positions `chosen`."""
        if isinstance(chosen, torch.Tensor):  # on the processor three times as fast as indexing
            parts = (self.index, self.clean, self.labels, self.targets, self.iteration, self.keys)
            return Rows(*(part.index_select(0, chosen) for part in parts))
        return Rows(
            self.index[chosen],
            self.clean[chosen],
            self.labels[chosen],
            self.targets[chosen],
            self.iteration[chosen],
            self.keys[chosen],
        )


class Attack(ABC):
    """A search for a perturbation, as a state machine over rows; built anew for every evaluation.

    The life of a job: `begin`, then `propose` → (`objective`) → `update` for every query but the last, and a last
    `propose`, after which nothing is left to decide (see `finished`). The first query lies within the threat.
    Work on one row must not depend on any other row. A row that stops coming back was broken by its last query,
    or its image was by another job; state at its place is simply begun anew.
    """

    threat: Threat
    steps: int
    """Updates of one job at most; where an attack does not say otherwise it makes `steps` + 1 queries."""
    restarts: int = 1
    """Jobs an image and target."""
    directions: Literal[0, 1] = 1
    """Gradients a query; 0 for attacks that need none, which then cost no backward pass."""
    samples: int = 1
    """Passes a gradient is averaged over (expectation over transformations)."""

    def targets(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The targets to try on each image, in this order.

        Args:
            logits: (n, c) of the clean images.
            labels: (n,).

        Returns:
            (n, t) int64; one column of `UNTARGETED` unless an attack says otherwise.
        """
        return np.full((len(labels), 1), UNTARGETED, dtype=np.int64)

    def notes(self, classes: int) -> tuple[str, ...]:
        """What it does otherwise than its name says on so many classes, each in a few words for the report."""
        return ()

    @abstractmethod
    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Makes room for the state of `capacity` rows of images like `like` (c, h, w)."""

    @abstractmethod
    def begin(self, rows: Rows) -> None:
        """New jobs enter these rows: whatever their state held is over."""

    @abstractmethod
    def propose(self, rows: Rows) -> torch.Tensor:
        """(r, c, h, w): what to ask the network next. Clipped to [0, 1] by the harness, never projected."""

    def finished(self, index: np.ndarray, iteration: np.ndarray) -> np.ndarray:
        """(r,) bool: jobs whose present query is their last; `update` is not called for it.

        Args:
            index: (r,) rows of the pool, on the host; asked between `propose` and `update`.
            iteration: (r,) queries of the job that were answered before the present one.
        """
        over: np.ndarray = iteration == self.steps
        return over

    def wants_gradient(self, index: np.ndarray, iteration: np.ndarray) -> np.ndarray:
        """(r,) bool: rows that ask for `objective` at their present query; the others cost no backward pass.

        Asked before `propose`, with the arguments of `finished`.
        """
        wanting: np.ndarray = (iteration < self.steps) & (self.directions > 0)
        return wanting

    @abstractmethod
    def objective(self, rows: Rows, logits: torch.Tensor) -> torch.Tensor | None:
        """(r,): the scalar whose gradient with respect to the query is wanted; None where `directions` is 0."""

    @abstractmethod
    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Takes the network's answer to the last query.

        Args:
            rows: those whose job goes on.
            logits: (r, c).
            objective: (r,), or None at queries without a gradient.
            gradient: (r, c, h, w), finite (what was not is 0), or None likewise.
        """
