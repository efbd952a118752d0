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
        self._along = torch.arange(max(self._size), device=like.device)

    def begin(self, rows: Rows) -> None:
        """Every column of a channel at x + ε or at x − ε."""
        super().begin(rows)
        _, channels, _, width = rows.clean.shape
        stripes = signs(self.drawn(rows.keys, torch.full_like(rows.keys, START_STEP), channels * width))
        self._best[rows.index] = rows.clean + self.threat.epsilon * stripes.reshape(-1, channels, 1, width)

    def _candidates(self, rows: Rows, change: Change) -> torch.Tensor:
        height, width = self._size
        within = self._along - change.corner[..., None]
        covered = ((within >= 0) & (within < change.side[:, None, None])).to(rows.clean.dtype)
        inside = covered[:, None, 0, :height, None] * covered[:, None, 1, None, :width]
        moved = rows.clean + (self.threat.epsilon * change.signs)[:, :, None, None]
        # exact for weights 0 and 1, and several times faster on processors than a choice by booleans
        return self._best.index_select(0, rows.index).lerp_(moved, inside)

    def _keep(self, index: torch.Tensor, clean: torch.Tensor, query: torch.Tensor) -> None:
        self._best.index_copy_(0, index, query)

    def _side(self, pixels: float) -> int:
        return min(max(side_of(pixels), 1), *self._size)
