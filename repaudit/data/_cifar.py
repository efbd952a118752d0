"""CIFAR's python batches as Krizhevsky published them: pickles, read without running what a pickle may say."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.data._arrays import ArrayImages, ArrayListing, open_arrays
from repaudit.data._contract import Part
from repaudit.data._folders import require_folder
from repaudit.data._labels import check_range, require_classes
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import Callable

    from repaudit.data._contract import DataRequest

SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar:
    """How one of the two sets is called on disk."""

    name: str
    """Of the reference."""
    title: str
    folder: str
    """In the official archive."""
    archive: str
    test_file: str
    train_files: tuple[str, ...]
    meta_file: str
    label_key: str
    names_key: str
    classes: int

    def recognises(self, path: Path) -> bool:
        """Whether a folder holds this set's test batch and its table of names."""
        return (path / self.test_file).is_file() and (path / self.meta_file).is_file()


def open_cifar(cifar: Cifar, argument: str | None, request: DataRequest) -> ArrayImages:
    """The test set, or the training set where that part is asked for.

    Raises:
        InvalidData: the batches are not found (saying where was looked), not what they should be, or the model has
            another number of classes.
    """
    folder = _find(cifar, argument)
    require_classes(request, cifar.classes, cifar.title)
    files = cifar.train_files if request.part is Part.TRAINING else (cifar.test_file,)
    batches = [_batch(cifar, folder / name) for name in files]
    images = np.concatenate([images for images, _ in batches])
    indices = np.concatenate([labels for _, labels in batches])
    return open_arrays(
        ArrayListing(
            layout=cifar.name,
            ids=tuple(str(row) for row in range(len(images))),
            images=np.ascontiguousarray(images.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)),
            labels=indices,
            label_source=f"`{cifar.label_key}` of {', '.join(files)}",
            class_names=_names(cifar, folder / cifar.meta_file),
        ),
        request,
    )


def _batch(cifar: Cifar, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3072) uint8 images and (n,) labels of one file."""
    batch = _read(path)
    images, labels = batch.get("data"), batch.get(cifar.label_key)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (3 * SIDE * SIDE,):
        raise _unlike(path, "`data` is no uint8 array (n, 3072)")
    if not isinstance(labels, list) or len(labels) != len(images) or not all(type(label) is int for label in labels):
        raise _unlike(path, f"`{cifar.label_key}` is no list of {len(images)} labels")
    indices = np.array(labels, dtype=np.int64)
    check_range(indices, cifar.classes, str(path))
    return images, indices


def _find(cifar: Cifar, argument: str | None) -> Path:
    tops = [Path("data"), Path()] if argument is None else [Path(argument).expanduser()]
    if argument is not None:
        require_folder(tops[0], cifar.name)
    looked = [place for top in tops for place in (top, top / cifar.folder)]
    for place in looked:
        if (place / cifar.test_file).is_file():
            return place
    raise InvalidData(
        f"{cifar.title}'s file `{cifar.test_file}` is not found",
        detail="looked in " + ", ".join(str(place) for place in looked),
        remedy=f"tar -xzf {cifar.archive}, then --data {cifar.name}:{cifar.folder}",
    )


def _names(cifar: Cifar, path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    names = _read(path).get(cifar.names_key)
    if not isinstance(names, list) or len(names) != cifar.classes:
        raise _unlike(path, f"`{cifar.names_key}` is no list of {cifar.classes} names")
    return tuple(str(name) for name in names)


def _read(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as stream:
            # latin1 keeps every byte of Python 2's strings, in which numpy's buffers lie.
            content: object = _ArraysOnly(stream, encoding="latin1").load()
    except OSError as error:
        raise InvalidData(f"{path} cannot be read", detail=str(error), remedy=f"ls -l {path}") from None
    except Exception as error:  # a torn pickle fails in as many ways as pickle has instructions
        raise _unlike(path, str(error)) from None
    if not isinstance(content, dict):
        raise _unlike(path, "it holds no dictionary")
    return content


class _ArraysOnly(pickle.Unpickler):
    """Knows numpy's arrays and nothing else: no class or function that a pickle names is looked up."""

    def find_class(self, module: str, name: str) -> Callable[..., object] | type:
        """Our own makers of arrays, or a refusal."""
        known: dict[tuple[str, str], Callable[..., object] | type] = {
            ("multiarray", "_reconstruct"): _array,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _dtype,
            ("_codecs", "encode"): _encoded,
        }
        maker = known.get((module.rpartition(".")[2], name))
        if maker is None or module.partition(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}, which is refused")
        return maker


def _array(_: type, shape: tuple[int, ...], code: str | bytes) -> np.ndarray:
    return np.ndarray(shape, dtype=np.dtype(code.decode() if isinstance(code, bytes) else code))


def _dtype(code: str, *_: object) -> np.dtype[np.generic]:
    plain = np.dtype(code)
    if plain.kind not in "biuf":
        raise pickle.UnpicklingError(f"arrays of {code} are refused")
    return np.dtype(plain, copy=True)


def _encoded(text: str, encoding: str) -> bytes:
    return text.encode("latin1" if encoding in ("latin1", "latin-1") else "ascii")


def _unlike(path: Path, why: str) -> InvalidData:
    return InvalidData(
        f"{path} is not one of CIFAR's python batches", detail=why, remedy="the `python version` of the archive"
    )
