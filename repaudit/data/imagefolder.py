"""`imagefolder:DIR`: one folder a class, as torchvision and timm have it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.data import Layout
from repaudit.data._files import FileImages, FileListing, open_files
from repaudit.data._folders import (
    SPLITS,
    files_below,
    files_in,
    folders_in,
    holds_images,
    refuse_flat,
    require_folder,
)
from repaudit.data._labels import map_names
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.data import DataRequest


def open_imagefolder(root: Path, request: DataRequest, layout: str) -> FileImages:
    """Every file below every class folder of `root`; hidden files and what desktops leave are no images.

    Args:
        root: holds one folder a class.
        request: what is wanted.
        layout: the name under which the set is reported.

    Raises:
        InvalidData: no class folders, an unknown class, or what `open_files` refuses.
    """
    folders = folders_in(require_folder(root, layout))
    if not folders:
        _refuse_no_folders(root, layout)
    _refuse_splits(root, folders, layout)
    labels = map_names([folder.name for folder in folders], request, root, "folder")
    found = [(path, labels.indices[folder.name]) for folder in folders for path in files_below(folder)]
    if not found:
        raise InvalidData(
            f"no files under {root}",
            detail=f"{len(folders)} folders, such as {folders[0].name}, all of them empty",
            remedy=f"ls {folders[0]}",
        )
    found.sort(key=lambda entry: entry[0].relative_to(root).as_posix())
    return open_files(
        FileListing(
            layout=layout,
            ids=tuple(path.relative_to(root).as_posix() for path, _ in found),
            paths=tuple(path for path, _ in found),
            labels=np.array([label for _, label in found], dtype=np.int64),
            label_source=labels.source,
            class_names=labels.class_names,
            notices=labels.notices,
        ),
        request,
    )


def _refuse_no_folders(root: Path, layout: str) -> None:
    refuse_flat(root)
    files = files_in(root)
    if not files:
        raise InvalidData(f"{root} is empty", remedy=f"--data {layout}:DIR with one folder a class")
    raise InvalidData(
        f"no images with known labels under {root}",
        detail=f"{len(files):,} files such as {files[0].name} lie flat; a label is the name of a class folder",
        remedy="--data csv:FILE with lines `path,label`",
    )


def _refuse_splits(root: Path, folders: list[Path], layout: str) -> None:
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    if len(splits) < len(folders):
        return
    for split in splits:
        refuse_flat(split)
    names = ", ".join(split.name for split in splits)
    held_out = [split for split in splits if not split.name.lower().startswith("train")] or splits
    raise InvalidData(
        f"{root} holds splits ({names}), not classes",
        remedy=f"--data {layout}:{held_out[0]}",
    )


def _recognises(path: Path) -> bool:
    if not path.is_dir():
        return False
    folders = folders_in(path)
    if not folders or all(folder.name.lower() in SPLITS for folder in folders):
        return False
    return any(holds_images(folder) for folder in folders[:20])


def _open(argument: str | None, request: DataRequest) -> FileImages:
    if argument is None:
        raise InvalidData("`imagefolder` needs a folder", remedy="--data imagefolder:DIR")
    return open_imagefolder(Path(argument).expanduser(), request, "imagefolder")


def _count_classes(argument: str | None) -> int:
    if argument is None:
        raise InvalidData("`imagefolder` needs a folder", remedy="--data imagefolder:DIR")
    return len(folders_in(require_folder(Path(argument).expanduser(), "imagefolder")))


layout = Layout(
    summary="imagefolder:DIR — one folder a class, named by wnid, class id or integer, or with class_to_idx.json",
    recognises=_recognises,
    open=_open,
    count_classes=_count_classes,
)
