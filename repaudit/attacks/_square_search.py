"""What both norms of the Square attack share: when a change stays, how large windows are, and what chance decides."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, NamedTuple

import torch

from repaudit.attacks import Attack, Rows
from repaudit.attacks.noise import step_keys, uniforms
from repaudit.attacks.objectives import margin
from repaudit.attacks.threat import Threat

LAST_STEPS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The share of pixels that a window covers halves after each of these steps, counted from 0."""
START_STEP = 0
"""The step whose stream gives the start; that of step k gives the k-th change."""
AHEAD = 32
"""Steps whose noise is drawn at once: a hash takes a dozen small operations, however many numbers it makes."""
FREE = (1, 1, 1, 1, 0)
"""Which numbers of a change, before its signs, are places of a window: the fifth says how the pattern lies."""
PLACES = len(FREE)


class Change(NamedTuple):
    """One change a row, decided by chance alone."""

    side: torch.Tensor
    """(r,) int64: of its windows; 0 at the start, which is asked as it is."""
    corner: torch.Tensor
    """(r, 2) int64: first row and first column of the window."""
    emptied: torch.Tensor
    """(r, 2) int64: the same of a second window, `l2` only."""
    turned: torch.Tensor
    """(r,) int64: 1 where the pattern is transposed, `l2` only."""
    signs: torch.Tensor
    """(r, c): −1 or 1."""

    def select(self, chosen: torch.Tensor) -> Change:
        """Only the rows at positions `chosen`."""
        return Change._make(values[chosen] for values in self)


class SquareSearch(Attack):
    """A change of one window stays if it lowers the margin, or makes it negative; the published margin-loss version.

    Its windows shrink at fixed steps, however many there are, as AutoAttack runs it. Every row draws windows of its
    own, which may reach the last row and column (the published code shares one among the rows of a batch, and its
    windows never do).
    """

    directions: Literal[0, 1] = 0

    def __init__(self, threat: Threat, *, queries: int, p_init: float, restarts: int) -> None:
        """`queries` after the start, the first with windows of the share `p_init` of all pixels."""
        self.threat = threat
        self.steps = queries
        self.restarts = restarts
        self._share = p_init

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps the largest lead of another class over the label, and the changes of the next steps."""
        channels, height, width = like.shape
        self._size = height, width
        sides = [0] + [self._side(self._share * height * width / 2 ** halvings(step)) for step in range(self.steps)]
        self._sides = torch.tensor(sides, device=like.device)
        self._lead = like.new_empty(capacity)
        self._windows = torch.empty((capacity, AHEAD, 1 + PLACES), dtype=torch.int64, device=like.device)
        self._signs = like.new_empty((capacity, AHEAD, channels))
        self._known_from = torch.zeros(capacity, dtype=torch.int64, device=like.device)
        self._asked, self._asked_of = like.new_empty((0, *like.shape)), self._known_from[:0]
        self._place = torch.zeros(capacity, dtype=torch.int64, device=like.device)

    def begin(self, rows: Rows) -> None:
        """No query is the best so far, and no change is at hand."""
        self._lead[rows.index] = -torch.inf
        self._known_from[rows.index] = -AHEAD

    def propose(self, rows: Rows) -> torch.Tensor:
        """The best query with some windows changed; what leaves [0, 1] is cut off by the harness."""
        self._asked, self._asked_of = self._candidates(rows, self._changes(rows)), rows.index
        self._place[rows.index] = torch.arange(len(rows), device=rows.index.device)
        return self._asked

    def objective(self, rows: Rows, logits: torch.Tensor) -> None:
        """None: it asks for no gradient."""

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Keeps what is better.

        Raises:
            RuntimeError: other rows were asked after these; only the last proposal is at hand.
        """
        before = self._lead[rows.index]
        lead = margin(logits, rows.labels, rows.targets).to(before.dtype)
        better = ((lead > before) | (lead >= 0)).nonzero().squeeze(1)
        index = rows.index[better]
        place = self._place[index]
        if not torch.equal(self._asked_of[place.clamp(max=len(self._asked_of) - 1)], index):
            raise RuntimeError("Square was told of a query that was not its last")
        self._lead[index] = lead[better]
        self._keep(index, rows.clean.index_select(0, better), self._asked.index_select(0, place))

    def drawn(self, keys: torch.Tensor, step: torch.Tensor, count: int) -> torch.Tensor:
        """All that is left to chance: (r, count) uniforms in [0, 1) of one step of each of r jobs."""
        return uniforms(step_keys(keys, step), count)

    def _changes(self, rows: Rows) -> Change:
        age = rows.iteration - self._known_from[rows.index]
        if bool((age >= AHEAD).any()):
            self._look_ahead(rows)
            age = torch.zeros_like(age)
        window = self._windows[rows.index, age]
        return Change(window[:, 0], window[:, 1:3], window[:, 3:5], window[:, 5], self._signs[rows.index, age])

    def _look_ahead(self, rows: Rows) -> None:
        """Draws the changes of this step and the next ones, each place in the image being equally likely."""
        step = rows.iteration[:, None] + torch.arange(AHEAD, device=rows.iteration.device)
        noise = self.drawn(rows.keys.repeat_interleave(AHEAD), step.flatten(), PLACES + self._signs.shape[2])
        noise = noise.reshape(len(rows), AHEAD, -1)
        side = self._sides[step.clamp(max=self.steps)][..., None]
        height, width = self._size
        counts = side.new_tensor([height + 1, width + 1, height + 1, width + 1, 2]) - side * side.new_tensor(FREE)
        # exact: no product of a whole number and a uniform of 24 bits rounds up to that number in float64
        places = (noise[..., :PLACES].double() * counts).long()
        self._windows[rows.index] = torch.cat([side, places], dim=2)
        self._signs[rows.index] = signs(noise[..., PLACES:])
        self._known_from[rows.index] = rows.iteration

    @abstractmethod
    def _side(self, pixels: float) -> int:
        """Of windows that are to cover so many pixels."""

    @abstractmethod
    def _candidates(self, rows: Rows, change: Change) -> torch.Tensor:
        """(r, c, h, w): the best queries with these changes."""

    @abstractmethod
    def _keep(self, index: torch.Tensor, clean: torch.Tensor, query: torch.Tensor) -> None:
        """These queries, clipped or not, are the best of their rows from now on."""


def halvings(step: int) -> int:
    """How often the share of pixels was halved before a step, counted from 0."""
    return sum(step > last for last in LAST_STEPS)


def signs(drawn: torch.Tensor) -> torch.Tensor:
    """−1 or 1 for each uniform."""
    return torch.where(drawn < 0.5, -1.0, 1.0)


def side_of(pixels: float) -> int:
    """Of the square that covers so many pixels, to the nearest whole number."""
    return round(math.sqrt(pixels))
