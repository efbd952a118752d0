"""Mixup and CutMix: one share, one box and one partner for each image, drawn for the whole batch of all processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Box:
    """Rows `top` to `bottom` and columns `left` to `right` of an image, ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True, slots=True)
class Mix:
    """How the images of one batch are mixed."""

    share: float
    """λ in [0, 1]: what is left of an image's own label; in CutMix after clipping the box."""
    box: Box | None
    """What CutMix takes from the partner; None blends whole images."""
    partner: np.ndarray
    """(b,) int64: a permutation of the batch."""

    def images(self, own: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) mixed; `partners[i]` belongs to `own[i]`."""
        if self.box is None:
            return torch.lerp(partners, own, self.share)
        mixed = own.clone()
        rows, columns = slice(self.box.top, self.box.bottom), slice(self.box.left, self.box.right)
        mixed[..., rows, columns] = partners[..., rows, columns]
        return mixed

    def targets(self, own: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
        """(b, k) λ own + (1 − λ) partners."""
        return self.share * own + (1 - self.share) * partners


def draw_mixup(a: float, rows: int, generator: np.random.Generator) -> Mix:
    """λ ~ Beta(a, a), one for the batch, partners by a random permutation (Zhang et al. 2018, alg. in §2).

    Args:
        a: > 0.
        rows: of the batch of all processes.
        generator: of this step.
    """
    return Mix(float(generator.beta(a, a)), None, generator.permutation(rows))


def draw_cutmix(a: float, rows: int, size: tuple[int, int], generator: np.random.Generator) -> Mix:
    """A box of √(1 − λ) of each side, λ ~ Beta(a, a), its centre uniform, clipped (Yun et al. 2019, alg. A1).

    The share is corrected to what the clipped box leaves, so its mean lies above one half: about .7 at a = 1.

    Args:
        a: > 0.
        rows: of the batch of all processes.
        size: (height, width) of the images.
        generator: of this step.
    """
    height, width = size
    side = float(1 - generator.beta(a, a)) ** 0.5
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(generator.integers(height)), int(generator.integers(width))
    box = Box(
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )
    return Mix(1 - box.area / (height * width), box, generator.permutation(rows))
