"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from repaudit.errors import InvalidOutput

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Puts a file in its place in one step, through links to what they point at.

    Raises:
        InvalidOutput: the path is a folder, a device or a pipe.
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise InvalidOutput(f"{path} is no regular file", remedy="-o FILE.json, or -o - for stdout")
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
