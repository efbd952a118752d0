"""Looks into folders without opening a single image."""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
LEFT_BY_DESKTOPS = ("thumbs.db", "desktop.ini")
FLAT_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPE?G", re.IGNORECASE)
SPLITS = ("train", "training", "val", "validation", "valid", "eval", "evaluation", "test", "testing")


def require_folder(path: Path, reference: str) -> Path:
    """The folder, if it is one that may be listed.

    Raises:
        InvalidData: it is absent (the nearest existing parent is named), no folder, or closed to us.
    """
    require_existing(path, reference)
    if not path.is_dir():
        raise InvalidData(f"{path} is a file, not a folder", remedy=f"--data {reference}:{path.parent}")
    try:
        os.scandir(path).close()
    except PermissionError:
        raise InvalidData(f"{path} may not be read", remedy=f"chmod u+rx {path}") from None
    return path


def require_file(path: Path, reference: str) -> Path:
    """The file, if it is one that may be read.

    Raises:
        InvalidData: it is absent (the nearest existing parent is named), a folder, or closed to us.
    """
    require_existing(path, reference)
    if not path.is_file():
        raise InvalidData(f"{path} is a folder, not a file", remedy=f"--data {reference}:{path}/FILE")
    try:
        path.open("rb").close()
    except PermissionError:
        raise InvalidData(f"{path} may not be read", remedy=f"chmod u+r {path}") from None
    return path


def folders_in(root: Path) -> list[Path]:
    """Folders directly below, by name; hidden ones are nobody's class."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def files_in(root: Path) -> list[Path]:
    """Files directly below, by name, without hidden ones and what desktops leave."""
    return sorted(path for path in root.iterdir() if path.is_file() and not _is_litter(path.name))


def files_below(root: Path) -> Iterator[Path]:
    """Every file at any depth, by name, through links but never round in a circle.

    Raises:
        InvalidData: a folder below may not be read.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not _is_litter(name))


def holds_images(folder: Path, among: int = 20) -> bool:
    """Whether one of the first files has an image's suffix: quick, for recognising a layout."""
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in islice(entries, among))


def flat_names(root: Path) -> list[str]:
    """Names of the official flat validation files directly below, sorted."""
    return sorted(path.name for path in root.iterdir() if FLAT_NAME.fullmatch(path.name))


def refuse_flat(root: Path) -> None:
    """Refuses a folder of official flat validation files where class folders are wanted.

    Raises:
        InvalidData: there are such files.
    """
    names = flat_names(root)
    if names:
        raise InvalidData(
            f"no images with known labels under {root}",
            detail=f"{len(names):,} files named ILSVRC2012_val_*.JPEG lie flat in one folder; "
            f'the folder name "{root.absolute().name}" is not a class.',
            remedy=f"--data imagenet-flat:{root}",
        )


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_DESKTOPS


def _refuse(error: OSError) -> None:
    raise InvalidData(f"{error.filename} may not be read", detail=str(error), remedy=f"chmod u+rx {error.filename}")


def require_existing(path: Path, reference: str) -> None:
    """Refuses a path that is not there, and says how far it leads.

    Raises:
        InvalidData: it does not exist, or may not be looked at.
    """
    try:
        if path.exists():
            return
    except PermissionError:
        raise InvalidData(f"{path} may not be read", remedy=f"ls -ld {path.parent}") from None
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(nearest, os.X_OK):
        raise InvalidData(f"{nearest} may not be entered", remedy=f"chmod u+rx {nearest}")
    raise InvalidData(
        f"{path} does not exist",
        detail=f"the nearest folder that exists is {nearest}",
        remedy=f"--data {reference}:PATH with the right path",
    )
