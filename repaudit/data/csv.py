"""`csv:FILE`: a manifest of `path,label`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.data import Layout
from repaudit.data._files import FileImages, FileListing, open_files
from repaudit.data._folders import require_file
from repaudit.data._labels import map_names
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.data import DataRequest

PATH_COLUMNS = ("path", "image", "image_path", "file", "file_name", "filename")
LABEL_COLUMNS = ("label", "class", "target", "wnid", "class_name", "class_index")
EXAMPLE = "a header `path,label`, then lines such as `images/1.jpg,3`"


@dataclass(frozen=True, slots=True)
class _Columns:
    path: int
    label: int
    has_header: bool


def _open(argument: str | None, request: DataRequest) -> FileImages:
    if argument is None:
        raise InvalidData("`csv` needs a file", remedy="--data csv:FILE")
    manifest = require_file(Path(argument).expanduser(), "csv")
    rows = _rows(manifest)
    names = [label for _, label in rows]
    labels = map_names(sorted(set(names)), request, manifest.parent, "label")
    paths = [manifest.parent / path for path, _ in rows]
    return open_files(
        FileListing(
            layout="csv",
            ids=tuple(_id(path, manifest.parent) for path in paths),
            paths=tuple(paths),
            labels=np.array([labels.indices[name] for name in names], dtype=np.int64),
            label_source=f"{labels.source} of {manifest.name}",
            class_names=labels.class_names,
            notices=labels.notices,
        ),
        request,
    )


def _id(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _rows(manifest: Path) -> list[tuple[str, str]]:
    """(path, label) of every line that is not blank."""
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(enumerate(csv.reader(stream), start=1))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidData(f"{manifest} is no csv file", detail=str(error), remedy=EXAMPLE) from None
    lines = [(number, [cell.strip() for cell in cells]) for number, cells in lines if any(map(str.strip, cells))]
    if not lines:
        raise InvalidData(f"{manifest} is empty", remedy=EXAMPLE)
    columns = _columns(lines[0][1], manifest)
    found = []
    for number, cells in lines[columns.has_header :]:
        if len(cells) <= max(columns.path, columns.label) or not cells[columns.path] or not cells[columns.label]:
            raise InvalidData(f"line {number} of {manifest} lacks a path or a label: {','.join(cells)}", remedy=EXAMPLE)
        found.append((cells[columns.path], cells[columns.label]))
    if not found:
        raise InvalidData(f"{manifest} has a header and no lines", remedy=EXAMPLE)
    return found


def _columns(first: list[str], manifest: Path) -> _Columns:
    lowered = [cell.lower() for cell in first]
    paths = [column for column, name in enumerate(lowered) if name in PATH_COLUMNS]
    labels = [column for column, name in enumerate(lowered) if name in LABEL_COLUMNS]
    if len(paths) == 1 and len(labels) == 1:
        return _Columns(paths[0], labels[0], has_header=True)
    if not paths and not labels and len(first) == 2:
        return _Columns(0, 1, has_header=False)
    raise InvalidData(
        f"{manifest} does not say which columns are path and label: {','.join(first)}",
        detail=f"path is one of {', '.join(PATH_COLUMNS)}; label is one of {', '.join(LABEL_COLUMNS)}",
        remedy=EXAMPLE,
    )


layout = Layout(
    summary="csv:FILE — lines of path,label; paths from the file's folder, labels integer, wnid or class name",
    recognises=lambda path: path.is_file() and path.suffix.lower() == ".csv",
    open=_open,
)
