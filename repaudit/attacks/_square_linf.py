"""Square within ±ε: a window of the candidate lies at x + ε or x − ε, with one sign a channel."""

from __future__ import annotations

import torch

from repaudit.attacks import Rows
from repaudit.attacks._square_search import START_STEP, Change, SquareSearch, side_of, signs


class LinfSquare(SquareSearch):
    """Starts with vertical stripes (Andriushchenko et al. 2020, algorithm 2); every value stays at x + ε or x − ε.

    A candidate is the best query and a window; only where it is better is it kept as an image.
    """

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps the best query."""
        super().allocate(capacity, like)
        self._best = like.new_empty((capacity, *like.shape))
        self._vertical = torch.arange(self._size[0], device=like.device)
        self._horizontal = torch.arange(self._size[1], device=like.device)

    def begin(self, rows: Rows) -> None:
        """Every column of a channel at x + ε or at x − ε."""
        super().begin(rows)
        _, channels, _, width = rows.clean.shape
        stripes = signs(self.drawn(rows.keys, torch.full_like(rows.keys, START_STEP), channels * width))
        self._best[rows.index] = rows.clean + self.threat.epsilon * stripes.reshape(-1, channels, 1, width)

    def propose(self, rows: Rows) -> torch.Tensor:
        """The best query with one window changed; what leaves [0, 1] is cut off by the harness."""
        return self._changed(rows.index, rows.clean, self._changes(rows))

    def _changed(self, index: torch.Tensor, clean: torch.Tensor, change: Change) -> torch.Tensor:
        down = _between(self._vertical, change.top, change.side)
        across = _between(self._horizontal, change.left, change.side)
        inside = down[:, None, :, None] * across[:, None, None, :]
        moved = clean + (self.threat.epsilon * change.signs)[:, :, None, None]
        # exact for weights 0 and 1, and several times faster on processors than a choice by booleans
        return self._best.index_select(0, index).lerp_(moved, inside)

    def _keep(self, rows: Rows, better: torch.Tensor) -> None:
        chosen = better.nonzero().squeeze(1)
        index, clean = rows.index[chosen], rows.clean.index_select(0, chosen)
        self._best.index_copy_(0, index, self._changed(index, clean, self._changes(rows).select(chosen)))

    def _side(self, pixels: float) -> int:
        return min(max(side_of(pixels), 1), *self._size)


def _between(positions: torch.Tensor, first: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """(r, n) float: 1 for the `count` positions from `first` on, (r,) each, and 0 for the others."""
    within = positions - first[:, None]
    return ((within >= 0) & (within < count[:, None])).float()
