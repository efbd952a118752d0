"""Auto-PGD (Croce & Hein 2020, algorithm 1): momentum, a step that halves itself, and returns to the best point."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import Field

from repaudit.attacks import Attack, Method, Options, Rows
from repaudit.attacks.noise import normals, step_keys, uniforms
from repaudit.attacks.objectives import ObjectiveName, for_classes, targets_by_logit
from repaudit.attacks.threat import Norm, Threat

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

START_STEP = 0
"""The only step at which this attack draws noise."""
STEP = 2.0
"""Length of the first steps, in radii."""
NEW = 0.75
"""Share of the new step in a movement (α of the paper); the rest goes as the movement before."""
FIRST_INTERVAL, LAST_INTERVAL, SHORTER = 0.22, 0.06, 0.03
"""Shares of all steps: up to the first checkpoint, between the last ones, and by how much each interval shrinks."""
SLOTS = 3
"""Images kept a row. Three places share them, so that a new best or a return to it moves no image."""


class ApgdOptions(Options):
    """What a profile may say of Auto-PGD."""

    steps: int = Field(default=100, ge=1)
    """Steps of one search."""
    restarts: int = Field(default=1, ge=1)
    """Searches an image and target, each from its own start."""
    objective: ObjectiveName = "ce"
    """What it raises: cross-entropy, difference of logits ratio, or that ratio towards each of some targets."""
    target_count: int = Field(default=9, ge=1)
    """Targets of `targeted_dlr`, by falling clean logit."""
    rho: float = Field(default=0.75, gt=0, le=1)
    """Share of the queries since a checkpoint that must raise the objective, or the step is halved."""
    samples: int = Field(default=1, ge=1)
    """Passes a gradient is averaged over, for networks that answer at random."""


class Figures(NamedTuple):
    """What a job remembers beside images; each (r,) of the images' type."""

    best: torch.Tensor
    """Largest objective so far."""
    last: torch.Tensor
    """Objective at the query before."""
    rises: torch.Tensor
    """Queries since the last checkpoint whose objective lay above that of the one before."""
    best_at_checkpoint: torch.Tensor
    """`best` at the last checkpoint."""
    halved: torch.Tensor
    """1 where the last checkpoint halved the step, else 0."""
    step: torch.Tensor
    """Length of a step in the threat's norm."""


class Places(NamedTuple):
    """Which slots hold a job's images; each (r,) int64."""

    present: torch.Tensor
    before: torch.Tensor
    best: torch.Tensor


class AutoPgd(Attack):
    """x⁺ = Π(x + ¾ (Π(x + η·steepest) − x) + ¼ (x − x⁻)); η starts at 2ε and is halved where a checkpoint says so.

    The published protocol as its authors run it, also where the paper is silent: the search starts on the sphere of
    radius ε, clipped to [0, 1]; the first checkpoint takes the objective before the first step for 0; and a search
    that returns to its best point moves on as if it had come there from the iterate before the one it leaves.
    """

    def __init__(self, threat: Threat, options: ApgdOptions) -> None:
        self.threat = threat
        self.steps = options.steps
        self.restarts = options.restarts
        self.samples = options.samples
        self._objective = options.objective
        self._target_count = options.target_count
        self._rises_needed = rises_needed(options.steps, options.rho)

    def targets(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The other classes by falling logit for `targeted_dlr`; else any wrong class."""
        if self._objective != "targeted_dlr":
            return super().targets(logits, labels)
        return targets_by_logit(logits, labels, self._target_count)

    def notes(self, classes: int) -> tuple[str, ...]:
        """What stands in for an objective that so few classes leave undefined, and how many targets there are."""
        note = for_classes(self._objective, classes).note
        notes = () if note is None else (note,)
        if self._objective != "targeted_dlr" or self._target_count < classes:
            return notes
        fewer = f"{classes - 1} target{'s' if classes > 2 else ''} in place of {self._target_count}"
        return (*notes, f"{fewer}: there are {classes} classes")

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps three images, one direction and a few numbers a row."""
        self._capacity = capacity
        self._images = like.new_empty((SLOTS * capacity, *like.shape))
        self._best_direction = like.new_empty((capacity, *like.shape))
        self._figures = like.new_empty((len(Figures._fields), capacity))
        self._places = torch.empty((len(Places._fields), capacity), dtype=torch.int64, device=like.device)
        self._needed = like.new_tensor(self._rises_needed)

    def begin(self, rows: Rows) -> None:
        """Starts on the sphere."""
        self._images.index_copy_(0, rows.index, self._start(rows))
        self._places[:, rows.index] = rows.index
        self._figures[:, rows.index] = 0
        figures = Figures(*self._figures)
        figures.halved[rows.index] = 1  # so that the first checkpoint does not ask whether the best has risen
        figures.step[rows.index] = STEP * self.threat.epsilon

    def propose(self, rows: Rows) -> torch.Tensor:
        """The iterate itself: every iterate is judged."""
        return self._images.index_select(0, Places(*self._places).present[rows.index])

    def objective(self, rows: Rows, logits: torch.Tensor) -> torch.Tensor:
        """That of the options, or what stands in for it."""
        return for_classes(self._objective, logits.shape[1]).objective(logits, rows.labels, rows.targets)

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Compares the query with the best, returns there where a checkpoint says so, and makes a step."""
        if objective is None or gradient is None:
            raise ValueError("Auto-PGD cannot step without a gradient")
        figures, places = Figures(*self._figures[:, rows.index]), Places(*self._places[:, rows.index])
        direction = self.threat.steepest(gradient)
        better = (objective > figures.best) | (rows.iteration == 0)
        chosen = better.nonzero().squeeze(1)
        self._best_direction.index_copy_(0, rows.index[chosen], direction.index_select(0, chosen))
        best = torch.where(better, places.present, places.best)
        figures, returns = self._taken_stock(figures, objective, better, rows.iteration)
        present = torch.where(returns, best, places.present)
        chosen = returns.nonzero().squeeze(1)
        direction.index_copy_(0, chosen, self._best_direction.index_select(0, rows.index[chosen]))
        self._figures[:, rows.index] = torch.stack(figures)
        after = self._free(rows.index, present, best)
        self._images.index_copy_(0, after, self._moved(rows, direction, figures.step, present, places.before))
        self._places[:, rows.index] = torch.stack(Places(present=after, before=present, best=best))

    def _taken_stock(
        self, before: Figures, objective: torch.Tensor, better: torch.Tensor, iteration: torch.Tensor
    ) -> tuple[Figures, torch.Tensor]:
        """The figures after a query, and (r,) bool: searches that return to their best point with half the step."""
        stepped = iteration > 0
        best = torch.where(better, objective, before.best)
        rises = before.rises + (stepped & (objective > before.last))
        needed = self._needed[iteration]
        checkpoint = needed >= 0
        stalled = (before.halved == 0) & (before.best_at_checkpoint >= best)
        halve = checkpoint & ((rises <= needed) | stalled)
        figures = Figures(
            best=best,
            last=torch.where(stepped, objective, 0),
            rises=torch.where(checkpoint, 0, rises),
            best_at_checkpoint=torch.where(checkpoint, best, before.best_at_checkpoint),
            halved=torch.where(checkpoint, halve, before.halved),
            step=torch.where(halve, before.step / 2, before.step),
        )
        return figures, halve

    def _free(self, index: torch.Tensor, present: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        """(r,): a slot of each row that is neither of two of its slots."""
        together = SLOTS * index + self._capacity * sum(range(SLOTS))
        neighbour = (present + self._capacity) % (SLOTS * self._capacity)
        return torch.where(present == best, neighbour, together - present - best)

    def _moved(
        self, rows: Rows, direction: torch.Tensor, step: torch.Tensor, present: torch.Tensor, before: torch.Tensor
    ) -> torch.Tensor:
        """(r, c, h, w): one step from `present`; overwrites `direction`."""
        project = _projection(self.threat, rows.clean)
        each = (-1, *[1] * (direction.ndim - 1))
        x, momentum = self._images.index_select(0, present), self._images.index_select(0, before)
        new = torch.where(rows.iteration > 0, NEW, 1.0)
        moved = project(direction.mul_(step.reshape(each)).add_(x))
        moved.sub_(x).mul_(new.reshape(each)).add_(x)
        return project(moved.sub_(momentum.sub_(x), alpha=1 - NEW))

    def _start(self, rows: Rows) -> torch.Tensor:
        """(r, c, h, w): uniform draws divided by the largest (Linf) or normal ones by their length (L2), times ε."""
        keys, shape = step_keys(rows.keys, START_STEP), rows.clean.shape[1:]
        if self.threat.norm is Norm.LINF:
            drawn = uniforms(keys, shape.numel()).mul_(2).sub_(1)
            drawn /= drawn.abs().amax(dim=1, keepdim=True).clamp_(min=torch.finfo(drawn.dtype).tiny)
        else:
            drawn = self.threat.steepest(normals(keys, shape.numel()))
        return drawn.mul_(self.threat.epsilon).reshape(-1, *shape).add_(rows.clean).clamp_(0, 1)


def rises_needed(steps: int, rho: float) -> list[float]:
    """For queries 0 to `steps`: at a checkpoint how many rises must be exceeded to keep the step, elsewhere −1.

    Checkpoints lie 22 % of the steps apart, then 19 %, 16 % and so on, from then on 6 % (Croce & Hein 2020, section
    3.3: p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06)), each interval rounded down as in the published code.
    """
    interval, least, shorter = (max(int(share * steps), 1) for share in (FIRST_INTERVAL, LAST_INTERVAL, SHORTER))
    needed = [-1.0] * (steps + 1)
    query = interval
    while query <= steps:
        needed[query] = rho * interval
        interval = max(interval - shorter, least)
        query += interval
    return needed


def _projection(threat: Threat, clean: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Onto the ball around each clean image and then onto [0, 1]; what it is given may be overwritten."""
    if threat.norm is Norm.LINF:
        lower, upper = (clean - threat.epsilon).clamp_(min=0), (clean + threat.epsilon).clamp_(max=1)
        return lambda moved: moved.clamp_(lower, upper)
    return lambda moved: threat.project(moved.sub_(clean)).add_(clean).clamp_(0, 1)


attack = Method(
    summary="Auto-PGD, Linf or L2, on cross-entropy, DLR or targeted DLR: the gradient half of AutoAttack.",
    options=ApgdOptions,
    build=AutoPgd,
    presets={
        # Croce & Hein 2020, section 5: the parts of AutoAttack (`dlr` that of its version for random networks)
        "apgd_ce": {"epsilon": "8/255", "objective": "ce"},
        "apgd_dlr": {"epsilon": "8/255", "objective": "dlr"},
        "apgd_t": {"epsilon": "8/255", "objective": "targeted_dlr"},
    },
)
