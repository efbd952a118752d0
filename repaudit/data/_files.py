"""Images in files: checked once, decoded in worker processes, uint8 until the device."""

from __future__ import annotations

import shutil
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from repaudit.data._content import FORMATS, Content, decoding_warnings, examine_files, set_decoding_warnings
from repaudit.data._faults import bad_images, clipped, left_out, with_odd_names
from repaudit.data._prepare import prepare
from repaudit.data._select import choose, fingerprint, refuse_doubles, subset
from repaudit.errors import InvalidData, UnfinishedError
from repaudit.images import Batch, ImageSet

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from repaudit.data._contract import DataRequest
    from repaudit.finding import Notice
    from repaudit.images import BadImage
    from repaudit.preprocessing import Preprocess

PREFETCH = 2
"""Batches that each worker keeps ready."""
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileListing:
    """What a layout found before any file is opened."""

    layout: str
    ids: tuple[str, ...]
    """POSIX paths below the data root."""
    paths: tuple[Path, ...]
    labels: np.ndarray
    """(n,) int64 in the model's class order."""
    label_source: str
    class_names: tuple[str, ...] | None
    notices: tuple[Notice, ...] = ()
    """What must be known of the labels."""


class FileImages(ImageSet):
    """Labelled image files; every one of them has been decoded once when the set was opened."""

    def __init__(
        self,
        listing: FileListing,
        request: DataRequest,
        *,
        rows: np.ndarray,
        contents: Sequence[Content],
        subset: str,
        bad_images: tuple[BadImage, ...],
        notices: tuple[Notice, ...],
    ) -> None:
        self.ref = request.ref
        self.layout = listing.layout
        self.label_source = listing.label_source
        self.class_names = listing.class_names
        self.subset = subset
        self.bad_images = bad_images
        self.notices = notices
        self.ids = tuple(listing.ids[row] for row in rows)
        self.labels = listing.labels[rows].astype(np.int64)
        self.fingerprint = fingerprint(self.ids, self.labels, [content.sha256 for content in contents])
        self._decoder = _Decoder([listing.paths[row] for row in rows], request.preprocess)
        self._workers = request.workers
        self._row_of = {name: row for row, name in enumerate(self.ids)}
        self._labels = torch.from_numpy(self.labels)

    def batches(self, rows: int, ids: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yields the images in the order of `ids`, decoded ahead by the workers.

        Closing the iterator early ends the workers at once.

        Raises:
            UnfinishedError: a file changed or vanished since it was checked.
        """
        chosen = list(range(len(self.ids))) if ids is None else [self._row_of[name] for name in ids]
        groups = [chosen[start : start + rows] for start in range(0, len(chosen), rows)]
        decoded = _decoded(self._decoder, groups, self._workers)
        try:
            for group, stored in zip(groups, decoded, strict=True):
                if isinstance(stored, str):
                    raise UnfinishedError(stored, remedy="the same command again, with the files left alone")
                yield Batch(stored, self._labels[group], tuple(self.ids[row] for row in group))
        finally:
            decoded.close()


def open_files(listing: FileListing, request: DataRequest) -> FileImages:
    """Chooses files, checks every chosen one, and makes the image set.

    Raises:
        InvalidData: no image at all; ids that come twice; files that cannot be used (named) without
            `skip_bad_images`; images of several sizes for a model that says no size.
    """
    refuse_doubles(listing.ids, request.ref)
    chosen = choose(listing.labels, request)
    names = [listing.ids[row] for row in chosen]
    paths = [listing.paths[row] for row in chosen]
    contents = with_odd_names(names, examine_files(paths, workers=request.workers, progress=request.progress))
    bad = bad_images(names, contents)
    told = left_out(bad, len(chosen), request)
    sound = [content.fault is None for content in contents]
    contents = [content for content in contents if content.fault is None]
    told += clipped(contents)
    images = FileImages(
        listing,
        request,
        rows=chosen[np.array(sound)],
        contents=contents,
        subset=subset(len(chosen), len(listing.ids), request),
        bad_images=bad,
        notices=(*listing.notices, *told),
    )
    _require_one_size(images.ids, contents, request)
    for notice in told:
        request.progress.note(f"warning: {notice.message}")
    return images


def _require_one_size(ids: Sequence[str], contents: Sequence[Content], request: DataRequest) -> None:
    if request.preprocess.size is not None:
        return
    first = contents[0]
    for name, content in zip(ids, contents, strict=True):
        if (content.height, content.width) != (first.height, first.width):
            raise InvalidData(
                "the images differ in size and the model's preprocessing says none",
                detail=f"{ids[0]} is {first.width}×{first.height}, {name} is {content.width}×{content.height}",
                remedy="--preprocess FILE.yaml with `size`, and `resize` where the network was trained with a crop",
            )


class _Decoder(Dataset[torch.Tensor | str]):
    """Whole batches at a time, so that one message crosses the process boundary per batch."""

    def __init__(self, paths: list[Path], preprocess: Preprocess) -> None:
        self.paths = paths
        self.preprocess = preprocess

    def __getitem__(self, rows: list[int]) -> torch.Tensor | str:
        """(b, c, h, w) uint8, or what went wrong: an exception would lose its own text between processes."""
        stored: np.ndarray | None = None
        for position, row in enumerate(rows):
            try:
                pixels = self._pixels(self.paths[row])
            except Exception as error:  # as in the check: decoders raise whatever they stumble over
                return f"{self.paths[row]} was sound when it was checked and cannot be read now: {error}"
            if stored is None:
                stored = np.empty((len(rows), *pixels.shape), dtype=np.uint8)
            if pixels.shape != stored.shape[1:]:
                return f"{self.paths[row]} has changed its size since it was checked"
            stored[position] = pixels
        assert stored is not None
        return torch.from_numpy(stored)

    def _pixels(self, path: Path) -> np.ndarray:
        with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as picture:
            return prepare(picture, self.preprocess)


def _decoded(decoder: _Decoder, groups: list[list[int]], workers: int) -> Generator[torch.Tensor | str, None, None]:
    """The batches in order. A generator of its own, so that closing it drops the loader and with it the workers."""
    if workers == 0 or len(groups) < 2:
        for group in groups:
            with decoding_warnings():
                stored = decoder[group]
            yield stored
        return
    first = decoder[groups[0][:1]]
    size = 0 if isinstance(first, str) else first.numel() * len(groups[0])
    with warnings.catch_warnings():
        # More workers than cores is the user's choice: files on a network have latency.
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        loader = DataLoader(
            decoder,
            batch_size=None,
            sampler=groups,
            num_workers=max(1, min(workers, len(groups), _workers_that_fit(size))),
            prefetch_factor=PREFETCH,
            worker_init_fn=_start_worker,
            # A generator of its own: the loader draws a seed, and global streams are nobody's here.
            generator=torch.Generator(),
        )
        iterator = iter(loader)
    yield from iterator


def _workers_that_fit(batch_bytes: int) -> int:
    """Batches travel through shared memory, of which a container often has 64 MB; running out kills the worker."""
    if not SHARED_MEMORY.is_dir() or batch_bytes == 0:
        return 1 << 10
    return shutil.disk_usage(SHARED_MEMORY).free // ((PREFETCH + 1) * batch_bytes)


def _start_worker(_: int) -> None:
    # Ctrl-C reaches the whole group: the parent answers it and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    set_decoding_warnings()
