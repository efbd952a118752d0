"""Targeted FAB (Croce & Hein 2020, arXiv 1907.02044): steps to the linearised boundary and back towards the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field

from repaudit.attacks import Attack, Method, Options, Rows
from repaudit.attacks._box_projection import Slopes, displacements, lengths, row_sums
from repaudit.attacks.objectives import targeted_margin, targets_by_logit

if TYPE_CHECKING:
    from repaudit.attacks.threat import Threat

SHORTEST = 1e-8
"""Moves are taken to be at least so long, so that two of no length weigh the same."""


class FabOptions(Options):
    """What a profile may say of FAB."""

    steps: int = Field(default=100, ge=1)
    """Steps of one search."""
    target_count: int = Field(default=9, ge=1)
    """Classes that it tries, by falling clean logit."""
    alpha_max: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Largest weight of the step that starts at the image itself."""
    eta: Annotated[float, Field(ge=1)] = 1.05
    """How far a step goes beyond the linearised boundary, as a multiple of the way to it."""
    beta: Annotated[float, Field(gt=0, le=1)] = 0.9
    """What is kept of a perturbation that crossed the boundary, before the next step."""


class FastAdaptiveBoundary(Attack):
    """Steps x⁺ = (1 − α)(x + η d) + α (x₀ + η d₀), clipped to [0, 1]; a point that crossed returns to x₀ + β (x − x₀).

    d and d₀ are the shortest moves from the iterate and from the image onto the boundary with the target, linearised at
    the iterate and met within the box; α = ‖d‖ / (‖d‖ + ‖d₀‖), at most `alpha_max` (algorithm 1, with the one boundary
    of the target as in AutoAttack, arXiv 2003.01690). It looks for a small perturbation and knows no radius: most
    queries of a robust image lie outside the ball. The harness judges all of them; the published code judges the points
    after a step, but not those after a return.

    Where the next gradient is wanted depends on whether the present point crossed, which is not known when it is asked.
    To guess that it did not, and to ask for the gradient at once, spares a forward pass if right and wastes a backward
    pass if wrong; it never changes an iterate. Four points of five cross, but hardly ever does the one that follows a
    point that did after one that did not: only there, and at the first point, is it guessed.
    """

    def __init__(self, threat: Threat, options: FabOptions) -> None:
        self.threat = threat
        # the image, two queries a step at most, and one for the last
        self.steps = 2 * options.steps - 1
        self._options = options

    def targets(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The likeliest wrong classes."""
        return targets_by_logit(logits, labels, self._options.target_count)

    def notes(self, classes: int) -> tuple[str, ...]:
        """How many targets there are, where they are fewer than asked for."""
        count = self._options.target_count
        if classes - 1 >= count:
            return ()
        tried = f"{classes - 1} target{'s' * (classes > 2)}"
        return (f"{tried} in place of {count}: there are {classes} classes",)

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps the iterate of each row, and on the host where in its search it is."""
        self._iterate = like.new_empty((capacity, *like.shape))
        self._taken = np.zeros(capacity, dtype=np.int64)
        self._settled = np.zeros(capacity, dtype=bool)
        self._crossed = np.zeros(capacity, dtype=bool)
        self._hopeful = np.zeros(capacity, dtype=bool)

    def begin(self, rows: Rows) -> None:
        """Starts at the image, whose gradient is the first thing to know."""
        self._iterate[rows.index] = rows.clean
        index = rows.index.cpu().numpy()
        self._taken[index] = 0
        self._settled[index] = True
        self._crossed[index] = False
        self._hopeful[index] = True

    def propose(self, rows: Rows) -> torch.Tensor:
        """The iterate, or the point that it was pulled back to."""
        return self._iterate.index_select(0, rows.index)

    def finished(self, index: np.ndarray, iteration: np.ndarray) -> np.ndarray:
        """After the last step only its point is asked."""
        over: np.ndarray = self._taken[index] == self._options.steps
        return over

    def wants_gradient(self, index: np.ndarray, iteration: np.ndarray) -> np.ndarray:
        """Where the next step is known to start, and where it probably does."""
        wants: np.ndarray = (self._settled[index] | self._hopeful[index]) & ~self.finished(index, iteration)
        return wants

    def objective(self, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
        """The target's logit − the label's: 0 on the boundary between the two."""
        return targeted_margin(logits, rows.labels, rows.targets)

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Pulls back what crossed; steps from where the gradient is at hand."""
        index = rows.index.cpu().numpy()
        new = ~self._settled[index]
        crossed = (logits.argmax(dim=1) != rows.labels).cpu().numpy() & new
        self._hopeful[index[new]] = crossed[new] & ~self._crossed[index[new]]
        self._crossed[index[new]] = crossed[new]
        self._settled[index] = True
        if crossed.any():
            self._pull_back(rows.select(_at(crossed, rows)))
        if objective is not None and gradient is not None and not crossed.all():
            at = _at(~crossed, rows)
            self._step(rows.select(at), objective[at], gradient[at])
            self._taken[index[~crossed]] += 1
            self._settled[index[~crossed]] = False

    def _pull_back(self, rows: Rows) -> None:
        far = self._iterate.index_select(0, rows.index)
        self._iterate.index_copy_(0, rows.index, torch.lerp(rows.clean, far, self._options.beta))

    def _step(self, rows: Rows, objective: torch.Tensor, gradient: torch.Tensor) -> None:
        points = torch.stack([self._iterate.index_select(0, rows.index), rows.clean]).flatten(2)
        normals = gradient.flatten(1)
        height = torch.stack([objective, objective + row_sums((points[1] - points[0]).mul_(normals))])
        moves = displacements(Slopes.of(normals, self.threat.norm), points, height)
        length = lengths(moves, self.threat.norm).clamp_(min=SHORTEST)
        alpha = (length[0] / (length[0] + length[1])).clamp_(max=self._options.alpha_max)
        ends = points.add_(moves, alpha=self._options.eta)
        stepped = torch.lerp(ends[0], ends[1], alpha[:, None]).clamp_(0, 1)
        self._iterate.index_copy_(0, rows.index, stepped.reshape(rows.clean.shape))


def _at(chosen: np.ndarray, rows: Rows) -> torch.Tensor | slice:
    return slice(None) if chosen.all() else torch.from_numpy(np.flatnonzero(chosen)).to(rows.index.device)


attack = Method(
    summary="Targeted FAB: boundary steps towards the nine likeliest wrong classes, Linf or L2.",
    options=FabOptions,
    build=FastAdaptiveBoundary,
    presets={"fab_t": {"epsilon": "8/255"}},
)
