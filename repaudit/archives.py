"""Zip archives that would grow far beyond their size when they are unpacked."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HARMLESS = 64 << 20
"""Bytes that may come out of any archive."""
GROWTH = 100
"""Times its own size that an archive may grow beyond that. torch stores weights as they are; photographs and digits
shrink to a half or a tenth. Only what repeats itself shrinks to a thousandth, the most that deflating can do."""


def bomb(path: Path) -> str | None:
    """Why an archive should not be unpacked, with sizes; None where it may be, or is no zip archive.

    Parts that overlap count each time they come out.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            grown = sum(part.file_size for part in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # told by who reads it
        return None
    size = path.stat().st_size
    if grown <= max(HARMLESS, GROWTH * size):
        return None
    return f"{size:,} bytes would become {grown:,}"
