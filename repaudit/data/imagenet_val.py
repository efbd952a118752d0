"""`imagenet-val[:DIR]`: ImageNet's validation images in wnid folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.data import Layout
from repaudit.data._folders import folders_in, refuse_flat, require_folder
from repaudit.data._labels import WNID
from repaudit.data.imagefolder import open_imagefolder
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.data import DataRequest
    from repaudit.data._files import FileImages

VARIABLE = "IMAGENET_DIR"
SPLITS = ("val", "validation", "valid", "eval")


def _open(argument: str | None, request: DataRequest) -> FileImages:
    top = require_folder(Path(argument or os.environ[VARIABLE]).expanduser(), "imagenet-val")
    return open_imagefolder(_root(top), request, "imagenet-val")


def _root(top: Path) -> Path:
    """`top` itself, or the one split folder of it."""
    if _has_classes(top):
        return top
    splits = [top / name for name in SPLITS if (top / name).is_dir()]
    with_classes = [split for split in splits if _has_classes(split)]
    if len(with_classes) > 1:
        raise InvalidData(
            f"{top} has {len(with_classes)} validation folders: {', '.join(split.name for split in with_classes)}",
            remedy=f"--data imagenet-val:{with_classes[0]}",
        )
    if with_classes:
        return with_classes[0]
    for place in (top, *splits):
        refuse_flat(place)
    raise InvalidData(
        f"no ImageNet class folders under {top}",
        detail=f"looked for folders such as n01440764 (or 0..999) in it and in its {', '.join(SPLITS)}; "
        f"found {_seen(top)}",
        remedy="--data imagenet-val:DIR, where DIR or DIR/val holds them",
    )


def _has_classes(folder: Path) -> bool:
    return any(WNID.fullmatch(below.name) or below.name.isdecimal() for below in folders_in(folder))


def _seen(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"


def _recognises(path: Path) -> bool:
    """A folder whose split folders hold wnids; wnid folders themselves are any `imagefolder`."""
    if not path.is_dir():
        return False
    return any(
        WNID.fullmatch(below.name) for name in SPLITS if (path / name).is_dir() for below in folders_in(path / name)
    )


layout = Layout(
    summary="imagenet-val[:DIR] — wnid folders in DIR or DIR/val; without DIR in $IMAGENET_DIR",
    recognises=_recognises,
    open=_open,
    variable=VARIABLE,
)
