"""Looks at every chosen file once: its sha256, its size, and whether it can be decoded to the end.

Findings are remembered in the cache folder under (path, size, modification and change time), so that the next
scan of the same folder reads no file twice.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, UnidentifiedImageError

from repaudit import cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from repaudit.progress import Progress

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF", "GIF")
"""What is read. Others stay closed: PIL hands EPS to Ghostscript, which runs programs."""
CHUNK = 256
"""Files between two savings of what was learned."""
SETTLED_S = 2.0
"""A file changed more recently may change again within one tick of the file system's clock: not remembered."""


class Stamp(NamedTuple):
    """What tells a file that was looked at from one that has changed since."""

    path: str
    """Absolute."""
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    sha256: str
    """Empty where the file could not be read at all."""
    width: int
    height: int
    mode: str
    """PIL's name of the pixel format, such as `RGB`; empty where there is none."""
    fault: str | None
    """Why it is no usable image; None where it is one."""


def examine_files(paths: Sequence[Path], *, workers: int, progress: Progress) -> list[Content]:
    """Hashes and decodes every file that is not remembered.

    Args:
        paths: files, in the order of the result.
        workers: threads; at least one. Decoding and hashing leave Python's lock.
        progress: shows files per second.
    """
    # Plug-ins are registered here, because registering from several threads at once is not safe.
    Image.init()
    with (
        _memory(progress) as memory,
        # A picture above PIL's pixel limit only warns up to twice that limit; here it is a fault.
        decoding_warnings(),
        ThreadPoolExecutor(max(1, workers)) as pool,
        progress.stage("checking images", len(paths), "images") as stage,
    ):
        found: list[Content] = []
        for start in range(0, len(paths), CHUNK):
            part = paths[start : start + CHUNK]
            stamps = {path: stamp for path in part if (stamp := _stamp(path)) is not None}
            known = memory.recall(stamps)
            unknown = [path for path in part if path not in known]
            fresh = dict(zip(unknown, pool.map(examine, unknown), strict=True))
            memory.remember(stamps, fresh)
            found += [(known | fresh)[path] for path in part]
            stage.advance(len(part))
    return found


def examine(path: Path) -> Content:
    """Reads one file to its end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Content("", 0, 0, "", (error.strerror or type(error).__name__).lower())
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return Content(digest, 0, 0, "", "empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height, mode = picture.width, picture.height, picture.mode
            # Entropy decoding, where truncation shows, runs to the end at an eighth of the size too.
            picture.draft(None, (1, 1))
            picture.load()
    except UnidentifiedImageError:
        return Content(digest, 0, 0, "", f"no image of a known kind ({', '.join(FORMATS)})")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Content(digest, 0, 0, "", f"decompression bomb: more than {Image.MAX_IMAGE_PIXELS} pixels")
    except Exception as error:  # decoders of broken files raise whatever their parser stumbles over
        return Content(digest, 0, 0, "", f"cannot be decoded: {error or type(error).__name__}")
    return Content(digest, width, height, mode, None)


@contextmanager
def decoding_warnings() -> Iterator[None]:
    """PIL's remarks about metadata are kept quiet, its warning of a decompression bomb is an error."""
    with warnings.catch_warnings():
        set_decoding_warnings()
        yield


def set_decoding_warnings() -> None:
    """The same for good: for a process that does nothing but decode."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class _Memory:
    """Findings on disk; a database that cannot be used is one that knows nothing."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def recall(self, stamps: Mapping[Path, Stamp]) -> dict[Path, Content]:
        if self._connection is None or not stamps:
            return {}
        marks = ",".join("?" * len(stamps))
        try:
            rows = self._connection.execute(
                "SELECT path, size, modified, changed, sha256, width, height, mode"
                f" FROM content WHERE path IN ({marks})",
                [stamp.path for stamp in stamps.values()],
            ).fetchall()
        except sqlite3.Error:
            return {}
        known = {
            Stamp(path, size, modified, changed): Content(digest, width, height, mode, None)
            for path, size, modified, changed, digest, width, height, mode in rows
        }
        return {path: known[stamp] for path, stamp in stamps.items() if stamp in known}

    def remember(self, stamps: Mapping[Path, Stamp], learned: Mapping[Path, Content]) -> None:
        """Keeps sound files only: a limit or a decoder that refused one may be another tomorrow."""
        if self._connection is None:
            return
        now = time.time_ns()
        settled = [
            (*stamps[path], content.sha256, content.width, content.height, content.mode)
            for path, content in learned.items()
            if content.fault is None and path in stamps and now - stamps[path].modified_ns > SETTLED_S * 1e9
        ]
        try:
            with self._connection:
                self._connection.executemany("REPLACE INTO content VALUES (?,?,?,?,?,?,?,?)", settled)
        except sqlite3.Error:
            self._connection = None


@contextmanager
def _memory(progress: Progress) -> Iterator[_Memory]:
    folder = cache.writable(progress)
    connection = None
    try:
        if folder is not None:
            connection = sqlite3.connect(folder / "content.sqlite3", timeout=5)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS content (path TEXT PRIMARY KEY, size INT, modified INT, changed INT,"
                " sha256 TEXT, width INT, height INT, mode TEXT)"
            )
    except sqlite3.Error as error:
        progress.note(f"content hashes in {folder} cannot be used ({error}): every image is read again")
        connection = None
    try:
        yield _Memory(connection)
    finally:
        if connection is not None:
            connection.close()


def _stamp(path: Path) -> Stamp | None:
    """None for what is not remembered: a file that is gone, or a path that the database cannot hold."""
    name = str(path.absolute())
    try:
        name.encode()
        status = path.stat()
    except (OSError, UnicodeEncodeError):
        return None
    return Stamp(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
