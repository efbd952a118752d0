"""Labels of the 50,000 flat ImageNet validation files, from whichever official file lies nearby.

Three files are read, and none is embedded. They disagree in their numbering: Kaggle's names wnids; caffe's
`val.txt` counts the sorted wnids from 0; the devkit's ground truth counts from 1 in an order of its own, which
only its `meta.mat` explains.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.data._wordnet import imagenet_wnids
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KAGGLE = "LOC_val_solution.csv"
CAFFE = "val.txt"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
LEVELS_UP = 4
"""Kaggle's csv lies four folders above ILSVRC/Data/CLS-LOC/val."""
DEVKIT_FOLDERS = ("", "data", "devkit/data", "ILSVRC2012_devkit_t12/data")
_STEM = re.compile(r"ILSVRC2012_val_(\d{8})")


@dataclass(frozen=True, slots=True)
class FlatLabels:
    """The wnid of each numbered validation image."""

    path: Path
    wnids: Mapping[int, str]


def find_labels(root: Path) -> FlatLabels:
    """The labels from the nearest label file beside or above the images.

    Raises:
        InvalidData: there is none, saying which to bring; or one that is not what its name says.
    """
    readers: dict[str, Callable[[Path], dict[int, str] | None]] = {
        KAGGLE: _kaggle,
        CAFFE: _caffe,
        GROUND_TRUTH: _devkit,
    }
    top = root.absolute()
    for place in (top, *list(top.parents)[:LEVELS_UP]):
        for path, reader in _candidates(place, readers):
            wnids = reader(path)
            if wnids is not None:
                return FlatLabels(path, wnids)
    raise InvalidData(
        f"no labels for the flat images in {root}",
        detail=f"looked there and in the {LEVELS_UP} folders above for {KAGGLE} (Kaggle), {CAFFE} with lines "
        f"`ILSVRC2012_val_00000001.JPEG 65` (caffe), or {GROUND_TRUTH} with {META} (official devkit)",
        remedy=f"cp {KAGGLE} {root}",
    )


def _candidates(
    place: Path, readers: Mapping[str, Callable[[Path], dict[int, str] | None]]
) -> Iterator[tuple[Path, Callable[[Path], dict[int, str] | None]]]:
    for name, reader in readers.items():
        for folder in DEVKIT_FOLDERS if name == GROUND_TRUTH else ("",):
            path = place / folder / name
            if path.is_file():
                yield path, reader


def _kaggle(path: Path) -> dict[int, str]:
    """`ImageId,PredictionString`, the second being `wnid x y x y` once for each box."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    try:
        return {_numbered(name): boxes.split()[0] for name, boxes in rows[1:]}
    except (ValueError, IndexError):
        raise _unlike(path, "ImageId,PredictionString") from None


def _caffe(path: Path) -> dict[int, str] | None:
    """`name index` in the order of the sorted wnids; None for Kaggle's list of the same name, which only counts."""
    order = imagenet_wnids()
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        numbers = {_numbered(name): int(index) for name, index in rows}
    except ValueError:
        raise _unlike(path, "ILSVRC2012_val_00000001.JPEG 65") from None
    if all(index == number for number, index in numbers.items()):
        return None
    if min(numbers.values()) < 0 or max(numbers.values()) >= len(order):
        raise _unlike(path, "ILSVRC2012_val_00000001.JPEG 65, counted from 0 to 999")
    return {number: order[index] for number, index in numbers.items()}


def _devkit(path: Path) -> dict[int, str]:
    """One number a line, 1..1000 in the devkit's own order."""
    meta = path.parent / META
    if not meta.is_file():
        raise InvalidData(
            f"{path} counts classes in the devkit's order, and {meta} that explains it is absent",
            remedy=f"cp {META} {path.parent}   (from ILSVRC2012_devkit_t12/data)",
        )
    wnid_of = _devkit_order(meta)
    try:
        numbers = [int(line) for line in path.read_text(encoding="utf-8").split()]
        return {position: wnid_of[number] for position, number in enumerate(numbers, start=1)}
    except (ValueError, KeyError):
        raise _unlike(path, "a number from 1 to 1000 for each image") from None


def _devkit_order(meta: Path) -> dict[int, str]:
    from scipy.io import loadmat

    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        return {
            int(number): str(wnid)
            for number, wnid, children in zip(
                synsets["ILSVRC2012_ID"], synsets["WNID"], synsets["num_children"], strict=True
            )
            if int(children) == 0
        }
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise InvalidData(
            f"{meta} is not the devkit's table of classes",
            detail=str(error),
            remedy="meta.mat of ILSVRC2012_devkit_t12/data",
        ) from None


def _numbered(name: str) -> int:
    match = _STEM.match(name)
    if match is None:
        raise ValueError(name)
    return int(match.group(1))


def _unlike(path: Path, expected: str) -> InvalidData:
    return InvalidData(f"{path} is not as expected", detail=f"wanted lines such as: {expected}", remedy=f"head {path}")
