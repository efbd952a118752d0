"""Random crops and mirror images of a whole batch at once, on the device where the images lie."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch.nn import functional as F

from repaudit.attacks.noise import uniforms
from repaudit.train.streams import Purpose, row_keys


class Border(StrEnum):
    """What lies beyond the edge of an image."""

    ZEROS = "zeros"
    REFLECT = "reflect"


def augmented(
    stored: torch.Tensor, rows: torch.Tensor, *, seed: int, epoch: int, pad: int, border: Border, flip: bool
) -> torch.Tensor:
    """Each image shifted by up to `pad` pixels and, one time in two, mirrored.

    What happens to an image depends on (seed, epoch, its number) alone.

    Args:
        stored: (b, c, h, w), uint8 in 0..255 or float32 in [0, 1].
        rows: (b,) int64, numbers of the images in the training set.
        seed: of the run.
        epoch: counted from 0.
        pad: most that an image is shifted by in each direction; 0 shifts none.
        border: of the shifted image.
        flip: whether images are mirrored from left to right.

    Returns:
        (b, c, h, w) float32 in [0, 1].
    """
    images = stored
    if pad:
        images = _shifted(images, rows, seed, epoch, pad, border)
    if flip:
        mirrored = uniforms(row_keys(seed, Purpose.FLIP, epoch, rows), 1)[:, 0] < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _shifted(images: torch.Tensor, rows: torch.Tensor, seed: int, epoch: int, pad: int, border: Border) -> torch.Tensor:
    height, width = images.shape[2:]
    wide = _padded(images, pad, border)
    drawn = uniforms(row_keys(seed, Purpose.CROP, epoch, rows), 2)
    offsets = (drawn * (2 * pad + 1)).long()
    # every window is a view of the padded batch: one gather of whole windows instead of one of pixels
    windows = wide.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images), device=images.device), :, offsets[:, 0], offsets[:, 1]]


def _padded(images: torch.Tensor, pad: int, border: Border) -> torch.Tensor:
    if border is Border.ZEROS:
        return F.pad(images, (pad,) * 4)
    if images.dtype == torch.uint8:  # torch reflects floats only; they hold every byte exactly
        return F.pad(images.half(), (pad,) * 4, mode="reflect").to(torch.uint8)
    return F.pad(images, (pad,) * 4, mode="reflect")
