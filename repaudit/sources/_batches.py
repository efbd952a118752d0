"""Programs that were exported for one batch size, asked about any number of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def in_batches(
    ask: Callable[[torch.Tensor], Sequence[torch.Tensor]], images: torch.Tensor, size: int | None
) -> list[torch.Tensor]:
    """The answers to all images, asked `size` at a time; the last call is filled with copies of its last image.

    Args:
        ask: takes (size, …) and returns tensors of as many rows.
        images: (b, …).
        size: None asks about all at once.
    """
    size = size or len(images)
    answers = [ask(_filled(part, size)) for part in torch.split(images, size)]
    return [torch.cat(column)[: len(images)] for column in zip(*answers, strict=True)]


def _filled(images: torch.Tensor, size: int) -> torch.Tensor:
    missing = size - len(images)
    return images if missing <= 0 else torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
