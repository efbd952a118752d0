"""`imagenet-flat:DIR`: the official flat validation files, with a label file that came with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.data import Layout
from repaudit.data._files import FileImages, FileListing, open_files
from repaudit.data._flat_labels import find_labels
from repaudit.data._folders import FLAT_NAME, flat_names, require_folder
from repaudit.data._labels import map_names
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.data import DataRequest


def _open(argument: str | None, request: DataRequest) -> FileImages:
    if argument is None:
        raise InvalidData("`imagenet-flat` needs a folder", remedy="--data imagenet-flat:DIR")
    root = require_folder(Path(argument).expanduser(), "imagenet-flat")
    names = flat_names(root)
    if not names:
        raise InvalidData(
            f"no files named ILSVRC2012_val_*.JPEG in {root}",
            remedy=f"--data imagefolder:{root} for class folders, csv:FILE for anything else",
        )
    given = find_labels(root)
    absent = [name for name in names if _number(name) not in given.wnids]
    if absent:
        raise InvalidData(
            f"{given.path} has no label for {len(absent)} of {len(names)} images, such as {absent[0]}",
            remedy="the whole label file of the validation set",
        )
    wnids = [given.wnids[_number(name)] for name in names]
    labels = map_names(sorted(set(wnids)), request, root, "label")
    return open_files(
        FileListing(
            layout="imagenet-flat",
            ids=tuple(names),
            paths=tuple(root / name for name in names),
            labels=np.array([labels.indices[wnid] for wnid in wnids], dtype=np.int64),
            label_source=given.path.name,
            class_names=labels.class_names,
            notices=labels.notices,
        ),
        request,
    )


def _number(name: str) -> int:
    match = FLAT_NAME.fullmatch(name)
    assert match is not None
    return int(match.group(1))


def _recognises(path: Path) -> bool:
    return path.is_dir() and bool(flat_names(path))


layout = Layout(
    summary="imagenet-flat:DIR — ILSVRC2012_val_*.JPEG in one folder, with their label file beside or above",
    recognises=_recognises,
    open=_open,
)
