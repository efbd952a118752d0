"""The images to attack, read once each, as rows become free."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidData

if TYPE_CHECKING:
    import numpy as np

    from repaudit.images import Batch, ImageSet

RANGE_TOLERANCE = 1e-6
"""How far outside [0, 1] a pixel may lie: rounding, nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """The images to attack."""

    ids: tuple[str, ...]
    labels: np.ndarray
    """(n,) int64."""
    logits: np.ndarray
    """(n, c) of the clean images."""


class Intake:
    """Images in the order of their ids, checked, handed out in any number."""

    def __init__(self, images: ImageSet, ids: tuple[str, ...], rows: int, device: torch.device) -> None:
        self._stream = _checked(images, rows, ids)
        self._device = device
        self._waiting = torch.empty(0)

    def take(self, count: int) -> torch.Tensor:
        """The next `count` images, (count, c, h, w) float32 on the device.

        Raises:
            InvalidData: an image is not in [0, 1].
        """
        parts = [self._waiting] if len(self._waiting) else []
        while sum(map(len, parts)) < count:
            parts.append(next(self._stream).to(self._device).images)
        together = torch.cat(parts)
        self._waiting = together[count:].clone()
        return together[:count]

    def close(self) -> None:
        """Stops reading."""
        self._stream.close()


def require_pixels(batch: Batch) -> None:
    """Refuses images that are no pixels in [0, 1].

    Raises:
        InvalidData: a value is NaN or lies outside by more than 1e-6; the first such image is named.
    """
    flat = batch.images.flatten(1)
    inside = ((flat >= -RANGE_TOLERANCE) & (flat <= 1 + RANGE_TOLERANCE)).all(dim=1)
    if not inside.all():
        row = int((~inside).nonzero()[0])
        raise InvalidData(
            f"`{batch.ids[row]}` has values from {flat[row].min():.3g} to {flat[row].max():.3g}; pixels lie in [0, 1]",
            detail="A radius of 8/255 means nothing on images that were normalised before: the model does that itself.",
            remedy="images as stored (uint8, or float in [0, 1]); mean and std go into --preprocess",
        )


def _checked(images: ImageSet, rows: int, ids: tuple[str, ...]) -> Generator[Batch]:
    stream = images.batches(rows, ids)
    try:
        for batch in stream:
            require_pixels(batch)
            yield batch
    finally:
        if isinstance(stream, Generator):  # ends the workers that decode ahead
            stream.close()
