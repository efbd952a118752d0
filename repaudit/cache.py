"""Where things are kept between runs: clean passes, journals of attacks, and content hashes of image files.

`$REPAUDIT_CACHE`, else `$XDG_CACHE_HOME/repaudit`, else `~/.cache/repaudit`. Nothing here is needed to get a
result, so a folder that cannot be written costs time, never a run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.progress import Progress

ENTRIES = ("evidence", "attacks", "content.sqlite3", "content.sqlite3-journal")
"""Everything that repaudit keeps here; the rest of the folder, if it is somebody else's, is never touched."""


def folder() -> Path:
    """The cache folder, whether or not it exists."""
    own = os.environ.get("REPAUDIT_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "repaudit"


def writable(progress: Progress) -> Path | None:
    """The cache folder, made if need be; None, with a note, where nothing can be written."""
    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        progress.note(f"cache {path} cannot be written ({error.strerror}): nothing is kept for the next run")
        return None


def obstacle() -> str | None:
    """What keeps a scan from keeping anything here; None where nothing does. Leaves nothing behind."""
    place = folder()
    try:
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryDirectory(dir=place):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def size() -> int:
    """Bytes of everything kept."""
    return sum(path.stat().st_size for path in _files())


def clear() -> int:
    """Deletes everything kept, and returns how many bytes that was.

    Raises:
        InvalidOutput: the folder may not be written, or there can be none at its place.
    """
    if not folder().is_dir() and (why := obstacle()) is not None:
        raise InvalidOutput(
            f"there can be no cache folder {folder()}: {why}", remedy="REPAUDIT_CACHE=DIR with a folder you may write"
        )
    freed = size()
    for name in ENTRIES:
        path = folder() / name
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise InvalidOutput(
                f"cache entry {path} cannot be deleted",
                detail=str(error),
                remedy=f"chmod -R u+w {folder()}, or REPAUDIT_CACHE=DIR for another folder",
            ) from None
    return freed


def _files() -> Iterator[Path]:
    for name in ENTRIES:
        path = folder() / name
        if path.is_dir():
            yield from (below for below in path.rglob("*") if below.is_file())
        elif path.is_file():
            yield path
