"""Square (Andriushchenko et al. 2020): random squares, kept where they lower the margin; needs no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from repaudit.attacks import Attack, Method, Options, Rows
from repaudit.attacks._square_schedule import eta, sides
from repaudit.attacks.noise import step_keys, uniforms
from repaudit.attacks.objectives import margin
from repaudit.attacks.threat import Norm

if TYPE_CHECKING:
    from repaudit.attacks.threat import Threat

LEAST_SIDE = {Norm.LINF: 1, Norm.L2: 3}
TILES = 5
"""Tiles along the height in the Euclidean version's start."""
SMALL = 1e-12
"""What the published code adds before it divides by a length."""


class SquareOptions(Options):
    """What a profile may say of Square."""

    queries: int = Field(default=5000, ge=1)
    """Squares that are tried, after the start."""
    p_init: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the pixels that the first squares cover."""
    restarts: int = Field(default=1, ge=1)
    """Searches an image, each from its own start."""


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance decides of one query of each of r rows."""

    place: torch.Tensor
    """(r, 2, 2) uniforms in [0, 1): row and column of the upper left corner, of the new square and of the one that
    gives its length away (Euclidean only)."""
    sign: torch.Tensor
    """(r, c) −1 or 1."""
    turned: torch.Tensor
    """(r,) bool: the square's two peaks lie side by side (Euclidean only)."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Squares of different sides in r images, padded to the largest by repeating their last row and column."""

    index: torch.Tensor
    """(r, 1, s·s) int64: places in a flat channel."""
    within: torch.Tensor
    """(r, 1, s·s) bool: no repetition."""


class Square(Attack):
    """Every query moves the pixels of one square; it stays where the label's margin falls, or the image is broken.

    Linf: all pixels of a channel within the square go to the same face of the ball. L2: two opposite peaks are added
    to the square, with the length that a second square and the slack of the ball give away.
    """

    directions = 0

    def __init__(self, threat: Threat, options: SquareOptions) -> None:
        self.threat = threat
        self.steps = options.queries
        self.restarts = options.restarts
        self._share = options.p_init

    def allocate(self, capacity: int, like: torch.Tensor) -> None:
        """Keeps the best image of each row, its margin, and the square under trial."""
        self._height, self._width = like.shape[1:]
        self._best = like.new_empty((capacity, *like.shape))
        self._margin = like.new_empty((capacity,))
        self._trial = like.new_empty((capacity, *like.shape)) if self.threat.norm is Norm.L2 else None
        euclidean = self.threat.norm is Norm.L2
        found = sides(
            self._height, self._width, self.steps, self._share, least=LEAST_SIDE[self.threat.norm], odd=euclidean
        )
        self._sides = torch.tensor([1, *found], dtype=torch.int64, device=like.device)
        self._shapes = {side: eta(side).to(like) for side in set(found)} if euclidean else {}

    def begin(self, rows: Rows) -> None:
        """Starts with vertical stripes (Linf), or with tiles of the squares' shape (L2)."""
        if self.threat.norm is Norm.LINF:
            channels, width = rows.clean.shape[1], self._width
            signs = _signs(uniforms(step_keys(rows.keys, 0), channels * width)).reshape(-1, channels, 1, width)
            start = rows.clean + self.threat.epsilon * signs
        else:
            start = rows.clean + self._onto_the_sphere(self._tiles(rows))
        self._best.index_copy_(0, rows.index, start.clamp_(0, 1))
        self._margin.index_fill_(0, rows.index, torch.inf)

    def propose(self, rows: Rows) -> torch.Tensor:
        """The start; then the best image with one more square."""
        query = self._best.index_select(0, rows.index)
        first = rows.iteration == 0
        if first.all():
            return query
        if self._trial is None:
            self._write(query, rows, rows.iteration > 0)
            return query
        query = torch.where(first.reshape(-1, 1, 1, 1), query, self._with_peaks(query, rows))
        self._trial.index_copy_(0, rows.index, query)
        return query

    def objective(self, rows: Rows, logits: torch.Tensor) -> None:
        """None: only answers are used."""
        return

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """Keeps the squares that lowered the margin."""
        distance = -margin(logits, rows.labels, rows.targets)
        better = (distance < self._margin[rows.index]) | (distance <= 0)
        chosen = better.nonzero().squeeze(1)
        if not len(chosen):
            return
        some = rows.select(chosen)
        self._margin.index_copy_(0, some.index, distance[chosen])
        if self._trial is not None:
            later = (some.iteration > 0).nonzero().squeeze(1)
            self._best.index_copy_(0, some.index[later], self._trial.index_select(0, some.index[later]))
            return
        best = self._best.index_select(0, some.index)
        self._write(best, some, some.iteration > 0)
        self._best.index_copy_(0, some.index, best)

    def draw(self, rows: Rows) -> Draws:
        """What chance decides of the present query of each row: a function of the row's job and query alone."""
        channels = rows.clean.shape[1]
        drawn = uniforms(step_keys(rows.keys, rows.iteration), 5 + channels)
        return Draws(drawn[:, :4].reshape(-1, 2, 2), _signs(drawn[:, 5:]), drawn[:, 4] > 0.5)

    def _write(self, images: torch.Tensor, rows: Rows, moving: torch.Tensor) -> None:
        """Puts the present square into each of the images (r, c, h, w); those not `moving` stay as they are.

        Clipped x ± ε is what the best image ± 2ε is after clipping to the ball and to [0, 1].
        """
        draws = self.draw(rows)
        index = self._windows(rows, draws.place[:, 0]).index.expand(-1, images.shape[1], -1)
        flat = images.flatten(2)
        face = rows.clean.flatten(2).gather(2, index).add_((self.threat.epsilon * draws.sign)[:, :, None]).clamp_(0, 1)
        flat.scatter_(2, index, torch.where(moving[:, None, None], face, flat.gather(2, index)))

    def _windows(self, rows: Rows, place: torch.Tensor) -> Windows:
        side = self._sides[rows.iteration]
        offset = torch.arange(int(side.max()), device=side.device)
        room = torch.tensor([self._height, self._width], device=side.device) - side[:, None]
        corner = torch.minimum((place * (room + 1)).long(), room)
        inside = torch.minimum(offset, side[:, None] - 1)
        lines, columns = corner[:, :1] + inside, corner[:, 1:] + inside
        index = (lines[:, :, None] * self._width + columns[:, None, :]).flatten(1)
        short = offset < side[:, None]
        return Windows(index[:, None], (short[:, :, None] & short[:, None, :]).flatten(1)[:, None])

    def _with_peaks(self, best: torch.Tensor, rows: Rows) -> torch.Tensor:
        """The paper's algorithm 3 as published: the length of both squares and the ball's slack go into one."""
        draws = self.draw(rows)
        delta = (best - rows.clean).flatten(2)
        new, given = (self._windows(rows, draws.place[:, which]) for which in (0, 1))
        channels = delta.shape[1]
        slack = (self.threat.epsilon**2 - delta.square().sum(dim=(1, 2))).clamp_min(0) / channels
        together = torch.zeros_like(delta, dtype=torch.bool)
        for window in (new, given):
            together.scatter_(2, window.index.expand(-1, channels, -1), True)
        length = (slack[:, None] + (delta.square() * together).sum(dim=2)).sqrt()
        index = new.index.expand(-1, channels, -1)
        old = delta.gather(2, index) * new.within
        peaks = self._peaks(rows, draws) * draws.sign[:, :, None]
        peaks = peaks + old / (SMALL + old.square().sum(dim=2, keepdim=True).sqrt())
        peaks = peaks / (SMALL + peaks.square().sum(dim=2, keepdim=True).sqrt()) * length[:, :, None]
        delta.scatter_(2, given.index.expand(-1, channels, -1), 0.0)
        # the repeated last row and column must say the same as the original
        side = self._sides[rows.iteration]
        count = int(side.max())
        offset = torch.minimum(torch.arange(count, device=side.device), side[:, None] - 1)
        original = (offset[:, :, None] * count + offset[:, None, :]).flatten(1)[:, None].expand(-1, channels, -1)
        delta.scatter_(2, index, peaks.gather(2, original))
        return (rows.clean + self._onto_the_sphere(delta.reshape(best.shape))).clamp_(0, 1)

    def _peaks(self, rows: Rows, draws: Draws) -> torch.Tensor:
        """(r, 1, s·s): the shape of each row's square, 0 outside of it."""
        side = self._sides[rows.iteration]
        count = int(side.max())
        padded = rows.clean.new_zeros((len(rows), count, count))
        for each in torch.unique(side).tolist():
            if each in self._shapes:
                padded[side == each, :each, :each] = self._shapes[each]
        padded = torch.where(draws.turned[:, None, None], padded.transpose(1, 2), padded)
        return padded.flatten(1)[:, None]

    def _tiles(self, rows: Rows) -> torch.Tensor:
        """(r, c, h, w): squares of a fifth of the height side by side, each with its own sign."""
        count, channels = len(rows), rows.clean.shape[1]
        side = max(self._height // TILES, 1)
        shape, first = eta(side).to(rows.clean), (self._height - side * TILES) // 2
        delta = torch.zeros_like(rows.clean)
        lines, columns = self._height // side, self._width // side
        drawn = uniforms(step_keys(rows.keys, 0), lines * columns * (channels + 1)).reshape(count, -1, channels + 1)
        for number in range(lines * columns):
            top, left = max(first, 0) + number // columns * side, max(first, 0) + number % columns * side
            turned = torch.where((drawn[:, number, 0] > 0.5)[:, None, None], shape.T, shape)
            tile = turned[:, None] * _signs(drawn[:, number, 1:])[:, :, None, None]
            place = delta[:, :, top : top + side, left : left + side]
            place += tile[:, :, : place.shape[2], : place.shape[3]]
        return delta

    def _onto_the_sphere(self, delta: torch.Tensor) -> torch.Tensor:
        length = delta.flatten(1).square().sum(dim=1).sqrt() + SMALL
        return delta * (self.threat.epsilon / length).reshape(-1, 1, 1, 1)


def _signs(uniform: torch.Tensor) -> torch.Tensor:
    return torch.where(uniform < 0.5, -1.0, 1.0)


attack = Method(
    summary="Square: random search for networks whose gradient cannot be had or trusted, Linf or L2.",
    options=SquareOptions,
    build=Square,
    presets={
        # Croce & Hein 2020, section 5: the last part of AutoAttack
        "square": {"epsilon": "8/255"},
    },
)
