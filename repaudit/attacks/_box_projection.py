"""The shortest move from a point of the unit box onto a hyperplane, within the box, without sorting.

Every coordinate moves against its slope, by λ (`linf`) or by λ times its steepness (`l2`), and stops at the face of
the box. What the moves descend together, Σ |w|·min(λ u, room), is concave, piecewise linear and rising in λ: Newton's
method from 0 climbs to the solution, never passes it, and ends after a few steps. The problem is that of FAB (Croce &
Hein 2020, arXiv 1907.02044), whose authors solve it by sorting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from repaudit.attacks.threat import Norm, largest

LONGEST = 1e30
"""Stands for an endless λ: finite, so that its product with a steepness of 0 is 0."""


@dataclass(frozen=True, slots=True)
class Slopes:
    """Normals of r hyperplanes in n dimensions, prepared for any number of projections."""

    norm: Norm
    sign: torch.Tensor
    """(r, n): −1, 0 or 1."""
    steepness: torch.Tensor
    """(r, n): |w| · `scale`."""
    descent: torch.Tensor
    """(r, n): by how much a free coordinate descends as λ rises by 1."""
    total: torch.Tensor
    """(r,): the sum of `descent`."""
    scale: torch.Tensor | None
    """(r,): of `l2` 1 / the largest |w| of the row, so that squares neither overflow nor vanish; else None."""

    @classmethod
    def of(cls, normals: torch.Tensor, norm: Norm) -> Slopes:
        """Prepares (r, n) normals; a normal of zeros moves nothing."""
        steepness = normals.abs()
        if norm is Norm.LINF:
            return cls(norm, normals.sign(), steepness, steepness, row_sums(steepness), None)
        scale = 1 / steepness.amax(dim=-1).clamp_(min=1 / LONGEST)
        descent = steepness.mul_(scale[:, None]).square()
        return cls(norm, normals.sign(), steepness, descent, row_sums(descent), scale)


def displacements(slopes: Slopes, points: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
    """Moves several points of each row onto the row's hyperplanes.

    Args:
        slopes: of r normals w.
        points: (p, r, n) in [0, 1].
        height: (p, r), w · point − b: how far above its hyperplane each point lies, measured along w.

    Returns:
        (p, r, n): the shortest d in the norm with w · (point + d) = b and point + d in the box; where the box does not
        reach so far, every coordinate goes to the face in its direction. Coordinates without slope do not move.
    """
    direction = slopes.sign * torch.where(height >= 0, -1.0, 1.0)[..., None]
    room = direction.clamp(min=0).sub_(points).abs_()
    gap = height.abs() if slopes.scale is None else height.abs() * slopes.scale
    moves = _travel(slopes.norm, slopes.steepness, _reach(slopes, room, gap))
    return torch.minimum(moves, room, out=room).mul_(direction)


def lengths(moves: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Norms along the last dimension of (…, n)."""
    if norm is Norm.LINF:
        return largest(moves)
    return row_sums(moves.square()).sqrt_()


def row_sums(values: torch.Tensor) -> torch.Tensor:
    """Sums along the last dimension, whose bits do not depend on how many rows there are.

    torch shares a single long row out between threads, and adds in another order then.
    """
    if values.numel() > values.shape[-1]:
        return values.sum(dim=-1)
    return torch.stack([values, values]).sum(dim=-1)[0]


@dataclass(frozen=True, slots=True)
class _Climb:
    """What Newton's method needs to know; (…) rows of n coordinates, of which the first two may be shared."""

    norm: Norm
    steepness: torch.Tensor
    descent: torch.Tensor
    room: torch.Tensor
    full: torch.Tensor
    """What each coordinate descends on its way to the face."""
    gap: torch.Tensor
    """(…), what all are to descend together."""

    def select(self, active: torch.Tensor) -> _Climb:
        """Only the rows at the positions `active` of the flattened (p, r)."""
        row = active % len(self.steepness)
        steepness = self.steepness.index_select(0, row)
        return _Climb(
            self.norm,
            steepness,
            steepness if self.norm is Norm.LINF else self.descent.index_select(0, row),
            self.room.flatten(0, 1).index_select(0, active),
            self.full.flatten(0, 1).index_select(0, active),
            self.gap.flatten()[active],
        )

    def step(self, reach: torch.Tensor) -> torch.Tensor:
        """The λ that would close the gap if only those coordinates stopped at a face that do so at λ = `reach`."""
        # masks as floats: torch's loops over booleans are several times slower on processors
        stuck = self.room.clone().le_(_travel(self.norm, self.steepness, reach))
        filled = row_sums(self.full * stuck)
        left = row_sums(torch.addcmul(self.descent, stuck, self.descent, value=-1))
        return _quotient(self.gap - filled, left, reach)


def _reach(slopes: Slopes, room: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
    """λ, (p, r): steps until no further coordinate runs into its face; finished rows are left alone."""
    climb = _Climb(slopes.norm, slopes.steepness, slopes.descent, room, slopes.steepness * room, gap)
    start = _quotient(gap, slopes.total, torch.zeros_like(gap))
    reach, after = start.flatten(), climb.step(start).flatten()
    active = (after > reach).nonzero().squeeze(1)
    after = after[active]
    while len(active):
        reach[active] = after
        before, after = after, climb.select(active).step(after)
        rising = after > before
        active, after = active[rising], after[rising]
    return reach.reshape(gap.shape)


def _travel(norm: Norm, steepness: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """How far coordinates move at λ = `reach` (…) unless a face stops them; (…, n) or (…, 1)."""
    return reach[..., None] if norm is Norm.LINF else steepness * reach[..., None]


def _quotient(gap: torch.Tensor, descent: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    return torch.where(descent > 0, (gap / descent).clamp_(max=LONGEST), otherwise)
