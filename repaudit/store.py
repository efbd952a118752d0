"""Arrays of one clean pass: npy memory maps and a JSON manifest that says how many rows are done."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SAVE_EVERY_S = 2.0
"""An interruption loses at most this much of the pass."""


@dataclass
class ArrayStore:
    """Logits and features of the rows seen so far."""

    folder: Path | None
    """None keeps the arrays in memory only."""
    logits: np.ndarray
    features: np.ndarray | None
    rows_done: int
    _written: int = 0
    _saved_at: float = 0.0

    def write(self, start: int, logits: np.ndarray, features: np.ndarray | None) -> None:
        """Puts rows from `start` on; every row before `start` must be there already."""
        stop = start + len(logits)
        self.logits[start:stop] = logits
        if self.features is not None and features is not None:
            self.features[start:stop] = features
        self._written = stop
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Makes the rows written so far survive a kill: data first, then the manifest that counts them."""
        self.rows_done = max(self.rows_done, self._written)
        self._saved_at = time.monotonic()
        if self.folder is None:
            return
        for array in (self.logits, self.features):
            if isinstance(array, np.memmap):
                array.flush()
        manifest = self.folder / "manifest.json"
        temporary = manifest.with_suffix(".tmp")
        shape = {"rows": len(self.logits), "classes": self.logits.shape[1], "width": _width(self.features)}
        temporary.write_text(json.dumps({"rows_done": self.rows_done, **shape}))
        temporary.replace(manifest)


@contextmanager
def open_store(folder: Path | None, rows: int, classes: int, width: int | None, *, fresh: bool) -> Iterator[ArrayStore]:
    """The arrays of a pass, continued where an earlier one stopped.

    While another process fills the same folder, this one works in memory: two writers would tear rows.

    Args:
        folder: of this pass alone, or None for memory.
        rows: how many images there are.
        classes: width of the logits.
        width: of the features; None where there are none.
        fresh: forget what lies there.
    """
    if folder is None:
        yield _in_memory(rows, classes, width)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield _in_memory(rows, classes, width)
            return
        if fresh:
            _empty(folder)
        yield _on_disk(folder, rows, classes, width)


def _on_disk(folder: Path, rows: int, classes: int, width: int | None) -> ArrayStore:
    done = _rows_done(folder, rows, classes, width)
    if done is None:
        _empty(folder)
        _require_space(folder, 4 * rows * (classes + (width or 0)))
        done = 0
    mode = "r" if done == rows else ("r+" if done else "w+")
    logits = np.lib.format.open_memmap(folder / "logits.npy", mode=mode, dtype=np.float32, shape=(rows, classes))
    features = None
    if width is not None:
        features = np.lib.format.open_memmap(folder / "features.npy", mode=mode, dtype=np.float32, shape=(rows, width))
    os.utime(folder)
    return ArrayStore(folder, logits, features, done)


def _in_memory(rows: int, classes: int, width: int | None) -> ArrayStore:
    features = None if width is None else np.empty((rows, width), dtype=np.float32)
    return ArrayStore(None, np.empty((rows, classes), dtype=np.float32), features, 0)


def _rows_done(folder: Path, rows: int, classes: int, width: int | None) -> int | None:
    """Rows that a manifest vouches for; None where it is absent, torn or of another shape."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if (manifest["rows"], manifest["classes"], manifest["width"]) != (rows, classes, width):
            return None
        arrays = ["logits.npy"] if width is None else ["logits.npy", "features.npy"]
        whole = all((folder / name).stat().st_size >= 4 * rows for name in arrays)
        return int(manifest["rows_done"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(f"the clean pass needs {size / 1e9:.1f} GB below {folder}, which has {free / 1e9:.1f} GB left")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()


def _width(features: np.ndarray | None) -> int | None:
    return None if features is None else int(features.shape[1])
