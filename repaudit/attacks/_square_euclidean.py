"""Square within a Euclidean ball: a window takes over another's share of the length, in the shape of a pattern."""

from __future__ import annotations

import torch

from repaudit.attacks import Rows
from repaudit.attacks._box_projection import row_sums
from repaudit.attacks._square_patterns import pattern, places_of, tile
from repaudit.attacks._square_search import START_STEP, Change, SquareSearch, side_of, signs

TILES = 5
"""Tiles along the shorter side of the image at the start."""
SMALLEST = 3
"""Side of the smallest windows."""
GUARD = 1e-12
"""Added to lengths that are divided by, as in the published code."""


class EuclideanSquare(SquareSearch):
    """Starts with a grid of patterns (Andriushchenko et al. 2020, algorithm 3 and section 3.3).

    A step adds a pattern to what a window holds, gives it the length of the window itself, of another window, which
    is emptied, and of what the ball leaves unused; and rescales all to length ε.
    """

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps the best perturbation and its squared length."""
        super().allocate(capacity, like)
        self._perturbation = like.new_empty((capacity, *like.shape))
        self._energy = like.new_empty(capacity, dtype=torch.float64)
        self._patterns = {side: pattern(side).flatten(1).to(like.device) for side in set(self._sides.tolist())}

    def begin(self, rows: Rows) -> None:
        """A grid of patterns, each tile with signs of its own."""
        super().begin(rows)
        channels, (height, width) = rows.clean.shape[1], self._size
        side = max(min(height, width) // TILES, 1)
        grid = (height // side, width // side)
        count = grid[0] * grid[1]
        noise = self.drawn(rows.keys, torch.full_like(rows.keys, START_STEP), count * (1 + channels))
        tiles = tile(side, grid, signs(noise[:, count:]).reshape(-1, channels, count), (noise[:, :count] >= 0.5).long())
        top, left = (height - grid[0] * side) // 2, (width - grid[1] * side) // 2
        start = torch.zeros_like(rows.clean, dtype=torch.float64)
        start[:, :, top : top + grid[0] * side, left : left + grid[1] * side] = tiles
        length = row_sums(start.flatten(1).square()).sqrt_() + GUARD
        start *= (self.threat.epsilon / length)[:, None, None, None]
        self._keep(rows.index, rows.clean, rows.clean + start.to(rows.clean.dtype))

    def _candidates(self, rows: Rows, change: Change) -> torch.Tensor:
        perturbation = self._perturbation.index_select(0, rows.index)
        energy = self._energy[rows.index]
        scale = torch.ones_like(energy)
        for side in sorted(set(change.side.tolist()) - {0}):
            at = (change.side == side).nonzero().squeeze(1)
            scale[at] = self._apply(perturbation, at, change.select(at), side, energy[at])
        return torch.addcmul(rows.clean, perturbation, scale.to(perturbation.dtype)[:, None, None, None])

    def _apply(
        self, perturbation: torch.Tensor, at: torch.Tensor, change: Change, side: int, energy: torch.Tensor
    ) -> torch.Tensor:
        """Changes perturbations at the rows `at`; the factors that then bring them to length ε."""
        channels = perturbation.shape[1]
        flat = perturbation.view(-1)
        filled = self._positions(at, channels, places_of(change.corner, side, self._size[1]))
        emptied = self._positions(at, channels, places_of(change.emptied, side, self._size[1]))
        held = flat.take(filled).double()
        own = row_sums(held.square())
        fresh = self._patterns[side][change.turned][:, None] * change.signs[..., None]
        fresh += held / (own.sqrt() + GUARD)[..., None]
        flat.scatter_(0, filled.flatten(), 0)
        given = own + row_sums(flat.take(emptied).double().square_())
        unused = (self.threat.epsilon**2 - energy).clamp_(min=0)[:, None] / channels
        fresh *= ((unused + given).sqrt_() / (row_sums(fresh.square()).sqrt_() + GUARD))[..., None]
        flat.scatter_(0, emptied.flatten(), 0)
        flat.scatter_(0, filled.flatten(), fresh.to(flat.dtype).flatten())
        after = energy + row_sums(row_sums(fresh.square()) - given)
        return self.threat.epsilon / (after.clamp_(min=0).sqrt_() + GUARD)

    def _positions(self, image: torch.Tensor, channels: int, place: torch.Tensor) -> torch.Tensor:
        """(r, c, m) int64: of m places in flattened images."""
        area = self._size[0] * self._size[1]
        plane = image[:, None] * channels + torch.arange(channels, device=place.device)
        return plane[..., None] * area + place[:, None]

    def _keep(self, index: torch.Tensor, clean: torch.Tensor, query: torch.Tensor) -> None:
        kept = query.clamp(0, 1).sub_(clean)
        self._perturbation.index_copy_(0, index, kept)
        self._energy[index] = row_sums(kept.flatten(1).double().square_())

    def _side(self, pixels: float) -> int:
        wanted = max(side_of(pixels), SMALLEST)
        return min(wanted + 1 - wanted % 2, *self._size)
