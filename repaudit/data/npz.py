"""`npz:FILE`: arrays `images` and `labels`, optionally `ids`."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.archives import bomb
from repaudit.data import Layout
from repaudit.data._arrays import ArrayImages, ArrayListing, open_arrays
from repaudit.data._folders import require_file
from repaudit.data._labels import check_range, map_names
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.data import DataRequest
    from repaudit.finding import Notice

EXAMPLE = "numpy.savez(FILE, images=uint8 array (n, h, w, 3), labels=int64 array (n,))"


@dataclass(frozen=True, slots=True)
class _Labels:
    indices: np.ndarray
    source: str
    class_names: tuple[str, ...] | None
    notices: tuple[Notice, ...] = ()


def _open(argument: str | None, request: DataRequest) -> ArrayImages:
    if argument is None:
        raise InvalidData("`npz` needs a file", remedy="--data npz:FILE")
    path = require_file(Path(argument).expanduser(), "npz")
    arrays = _read(path, labelled=request.labelled)
    images = _images(arrays["images"], path)
    if request.labelled:
        _refuse_other_shape(arrays["labels"], len(images), path)
        labels = _labels(arrays["labels"], request, path)
    else:
        labels = _Labels(np.zeros(len(images), dtype=np.int64), "nothing: they are not wanted", None)
    return open_arrays(
        ArrayListing(
            layout="npz",
            ids=_ids(arrays.get("ids"), len(images), path),
            images=images,
            labels=labels.indices,
            label_source=labels.source,
            class_names=labels.class_names,
            notices=labels.notices,
        ),
        request,
    )


def _refuse_other_shape(raw: np.ndarray, count: int, path: Path) -> None:
    if raw.shape == (count,):
        return
    one_hot = raw.ndim == 2 and len(raw) == count
    shape = " × ".join(map(str, raw.shape)) or "a single number"
    raise InvalidData(
        f"`labels` of {path} is {shape} for {count} images; one class index per image is wanted",
        remedy="labels.argmax(1) for one-hot labels" if one_hot else f"labels of shape ({count},), in images' order",
    )


def _read(path: Path, *, labelled: bool) -> dict[str, np.ndarray]:
    grown = bomb(path)
    if grown is not None:
        raise InvalidData(
            f"{path} is not unpacked: {grown}",
            detail="no photographs shrink so much; the archive was made to fill a memory",
            remedy="numpy.savez without compression, if the images are your own",
        )
    try:
        with path.open("rb") as stream:
            _refuse_no_archive(stream.read(8), path)
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InvalidData(f"{path} holds one array, not an npz archive", remedy=EXAMPLE)
            required = ("images", "labels") if labelled else ("images",)
            absent = [name for name in required if name not in file.files]
            if absent:
                raise InvalidData(
                    f"{path} has no array `{absent[0]}`",
                    detail=f"it has: {', '.join(file.files) or 'nothing'}",
                    remedy=EXAMPLE,
                )
            return {name: file[name] for name in ("images", "labels", "ids") if name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidData(f"{path} cannot be read", detail=str(error), remedy=EXAMPLE) from None


def _refuse_no_archive(head: bytes, path: Path) -> None:
    """Numpy takes whatever it does not know for a pickle, which would be the wrong thing to tell."""
    if not head:
        raise InvalidData(f"{path} is empty", remedy=EXAMPLE)
    if not head.startswith((b"PK", b"\x93NUMPY")):
        seen = head.decode("ascii", "backslashreplace")
        raise InvalidData(f"{path} is no npz archive: it begins with `{seen}`", remedy=EXAMPLE)


def _images(images: np.ndarray, path: Path) -> np.ndarray:
    """(n, h, w, c) uint8 or float32 in [0, 1]."""
    images = _channels_last(images, path)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InvalidData(
            f"`images` of {path} is {images.dtype}; uint8 in 0..255 or floats in [0, 1] are wanted",
            remedy="images.astype(numpy.uint8), if the values lie in 0..255",
        )
    _refuse_non_finite(images, path)
    if not bool((images >= 0).all() and (images <= 1).all()):
        raise InvalidData(
            f"`images` of {path} holds floats outside [0, 1]: {images.min():.4g} to {images.max():.4g}",
            detail="normalisation belongs to the model's preprocessing, not into the file",
            remedy="images / 255, or undo the normalisation",
        )
    return images.astype(np.float32, copy=False)


def _refuse_non_finite(images: np.ndarray, path: Path) -> None:
    bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
    if len(bad):
        raise InvalidData(
            f"`images` of {path} holds NaN or infinity in {len(bad)} of {len(images)} images",
            detail=f"the first is row {bad[0]}",
            remedy="keep = numpy.isfinite(images).reshape(len(images), -1).all(1); "
            "numpy.savez(FILE, images=images[keep], labels=labels[keep])",
        )


def _channels_last(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim == 3:
        return images[..., None]
    last, first = (images.shape[-1], images.shape[1]) if images.ndim == 4 else (0, 0)
    if (last in (1, 3)) == (first in (1, 3)):
        why = "channels may come first or last" if last in (1, 3) else "no axis has 1 or 3 channels"
        raise InvalidData(
            f"`images` of {path} has shape {images.shape}: {why}",
            remedy="images of shape (n, h, w, 3) or (n, h, w)",
        )
    return images if last in (1, 3) else images.transpose(0, 2, 3, 1)


def _labels(raw: np.ndarray, request: DataRequest, path: Path) -> _Labels:
    if raw.dtype.kind == "U":
        mapped = map_names(sorted(set(raw.tolist())), request, path.parent, "label")
        indices = np.array([mapped.indices[name] for name in raw.tolist()], dtype=np.int64)
        return _Labels(indices, mapped.source, mapped.class_names, mapped.notices)
    if raw.dtype.kind not in "iu":
        raise InvalidData(f"`labels` of {path} is {raw.dtype}; integers are wanted", remedy="labels.astype(int)")
    check_range(raw, request.classes_count, str(path))
    return _Labels(raw.astype(np.int64), "array `labels`", None)


def _ids(ids: np.ndarray | None, count: int, path: Path) -> tuple[str, ...]:
    if ids is None:
        return tuple(str(row) for row in range(count))
    if ids.shape != (count,):
        raise InvalidData(f"`ids` of {path} has shape {ids.shape} for {count} images", remedy="one id per image")
    return tuple(str(name) for name in ids.tolist())


def _count_classes(argument: str | None) -> int:
    if argument is None:
        raise InvalidData("`npz` needs a file", remedy="--data npz:FILE")
    labels = _read(require_file(Path(argument).expanduser(), "npz"), labelled=False).get("labels", np.empty(0, int))
    return len(set(labels.tolist())) if labels.dtype.kind == "U" or not labels.size else int(labels.max()) + 1


layout = Layout(
    summary="npz:FILE — images (n,h,w,3) or (n,h,w) uint8, labels, optionally ids",
    recognises=lambda path: path.is_file() and path.suffix.lower() == ".npz",
    open=_open,
    count_classes=_count_classes,
)
