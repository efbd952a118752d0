"""A report together with its per-image rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidReport
from repaudit.report import Report, read, read_per_image

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Side:
    """A report and its per-image columns."""

    report: Report
    columns: Mapping[str, np.ndarray]
    name: str
    """How messages call it."""
    sha256: str = ""
    """Of its file, where it has one."""


def open_side(path: Path) -> Side:
    """A saved report with its sidecar.

    Raises:
        InvalidReport: either cannot be read, or they do not belong together.
    """
    path = path / "report.json" if path.is_dir() else path
    report = read(path)
    if report.per_image is None:
        raise InvalidReport(
            f"{path} has no per-image rows, so nothing can be paired with it",
            remedy="-o DIR in the scan that wrote it: `-o -` alone keeps no sidecar",
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Side(report, read_per_image(report.per_image, path), str(path), digest)
