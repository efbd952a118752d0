"""Labelled images that can be read again, by id."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.finding import Notice


@dataclass(frozen=True, slots=True)
class Batch:
    """Some images with their labels and ids."""

    stored: torch.Tensor
    """(b, c, h, w), uint8 in 0..255 or float32 in [0, 1]: a quarter of the bytes until the device."""
    labels: torch.Tensor
    """(b,) int64."""
    ids: tuple[str, ...]
    """(b,), stable across runs: everything joins on them."""

    @property
    def images(self) -> torch.Tensor:
        """(b, c, h, w) float32 in [0, 1], on the device where `stored` lies."""
        if self.stored.dtype == torch.uint8:
            return self.stored.to(torch.float32).div_(255)
        return self.stored

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.stored.to(device, non_blocking=True), self.labels.to(device, non_blocking=True), self.ids)


@dataclass(frozen=True, slots=True)
class BadImage:
    """A file that is no image, or only part of one."""

    id: str
    reason: str


class ImageSet(ABC):
    """Labelled images, re-readable in any order and any number of times.

    An id is the POSIX path below the data root, or the file's own `ids`, else the row number as text.
    """

    ref: str
    """The data reference as it was given."""
    layout: str
    """Which layout read it, such as `imagefolder`."""
    label_source: str
    """How labels were obtained, such as `wnid folders`."""
    ids: tuple[str, ...]
    labels: np.ndarray
    """(n,) int64 in the model's class order."""
    class_names: tuple[str, ...] | None
    """Names in the model's class order, where known."""
    fingerprint: str
    """sha256 over sorted (id, label, content sha256)."""
    subset: str
    """How the images were chosen, such as `all` or `stratified 1000 of 50000, seed 0`."""
    bad_images: tuple[BadImage, ...]
    """Files left out because they could not be decoded."""
    notices: tuple[Notice, ...] = ()
    """What a reader of the report must know of these images: files left out, labels that nothing confirms."""

    @abstractmethod
    def batches(self, rows: int, ids: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yields the images in the order of `ids` (all of them by default), `rows` at a time, the last may be short."""

    def __len__(self) -> int:
        return len(self.ids)


def stratified(labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Chooses `limit` rows with every class in its share, the same for the same seed.

    Largest remainders decide where shares are not whole; within a class the choice is random.

    Args:
        labels: (n,) class indices.
        limit: how many rows to keep; all of them if that is more than there are.
        seed: of the choice.

    Returns:
        Sorted row indices, (min(limit, n),).
    """
    n = len(labels)
    if limit >= n:
        return np.arange(n)
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(n)
    by_class = order[np.argsort(labels[order], kind="stable")]
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (limit / n)
    take = np.floor(exact).astype(int)
    remainder = exact - take + generator.random(len(classes)) * 1e-9
    take[np.argsort(-remainder)[: limit - take.sum()]] += 1
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    chosen = [by_class[start : start + count] for start, count in zip(starts, take, strict=True)]
    return np.sort(np.concatenate(chosen))
