"""Images in memory: npz files, CIFAR's batches, the embedded digits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from repaudit.data._prepare import prepare, prepare_float, to_channels
from repaudit.data._select import choose, fingerprint, refuse_doubles, subset
from repaudit.images import Batch, ImageSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.data._contract import DataRequest
    from repaudit.finding import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayListing:
    """Everything that an array layout read."""

    layout: str
    ids: tuple[str, ...]
    images: np.ndarray
    """(n, h, w, c), c being 1 or 3; uint8 in 0..255 or float32 in [0, 1]."""
    labels: np.ndarray
    """(n,) int64 in the model's class order."""
    label_source: str
    class_names: tuple[str, ...] | None
    notices: tuple[Notice, ...] = ()
    """What must be known of the labels."""


class ArrayImages(ImageSet):
    """Labelled images in memory; fitted to the network batch by batch."""

    def __init__(self, listing: ArrayListing, request: DataRequest) -> None:
        rows = choose(listing.labels, request)
        whole = len(rows) == len(listing.ids)
        self.ref = request.ref
        self.layout = listing.layout
        self.label_source = listing.label_source
        self.class_names = listing.class_names
        self.subset = subset(len(rows), len(listing.ids), request)
        self.bad_images = ()
        self.notices = listing.notices
        self.ids = tuple(listing.ids[row] for row in rows)
        self.labels = listing.labels[rows].astype(np.int64)
        self._images = listing.images if whole else listing.images[rows]
        self.fingerprint = fingerprint(self.ids, self.labels, [_digest(image) for image in self._images])
        self._preprocess = request.preprocess
        self._row_of = {name: row for row, name in enumerate(self.ids)}
        self._labels = torch.from_numpy(self.labels)

    def batches(self, rows: int, ids: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yields the images in the order of `ids`."""
        chosen = list(range(len(self.ids))) if ids is None else [self._row_of[name] for name in ids]
        for start in range(0, len(chosen), rows):
            part = chosen[start : start + rows]
            stored = torch.from_numpy(self._fitted(self._images[part]))
            yield Batch(stored, self._labels[part], tuple(self.ids[row] for row in part))

    def _fitted(self, images: np.ndarray) -> np.ndarray:
        """(b, c, h, w) of the network's size; images that have it are not touched."""
        if self._preprocess.size in (None, images.shape[1:3]):
            channels_last = to_channels(images, self._preprocess.channels)
            return np.ascontiguousarray(channels_last.transpose(0, 3, 1, 2))
        if images.dtype == np.uint8:
            return np.ascontiguousarray([prepare(_picture(image), self._preprocess) for image in images])
        return np.stack([prepare_float(image, self._preprocess) for image in images])


def open_arrays(listing: ArrayListing, request: DataRequest) -> ArrayImages:
    """Chooses rows and makes the image set.

    Raises:
        InvalidData: no image at all, or ids that come twice.
    """
    refuse_doubles(listing.ids, request.ref)
    return ArrayImages(listing, request)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _digest(image: np.ndarray) -> str:
    head = f"{image.dtype.str} {image.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).hexdigest()
