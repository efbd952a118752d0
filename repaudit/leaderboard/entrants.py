"""The reports that are put side by side, their rows where they have them, and names that tell them apart."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from repaudit.compare import Asked, Side, data_differences
from repaudit.errors import InvalidReport
from repaudit.report import Report, read, read_per_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

REPORT_NAME = "report.json"
REFERENCE = "the reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A report that takes part."""

    report: Report
    columns: Mapping[str, np.ndarray] | None
    """Its per-image rows, (n,) each by name; None where they could not be had."""
    file: str
    """As it was asked for."""
    sha256: str = ""
    """Of the file, where there is one."""
    bare: str = "it was not kept with per-image rows"
    """Why there are no rows."""

    @property
    def side(self) -> Side:
        """For pairing; only where there are rows."""
        return Side(self.report, self.columns or {}, self.file, self.sha256)


def open_entrant(path: Path) -> Entrant:
    """A saved report, or the one in a folder, with its rows if they are there and its own.

    Raises:
        InvalidReport: the report itself cannot be read.
    """
    path = path / REPORT_NAME if path.is_dir() else path
    report = read(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if report.per_image is None:
        return Entrant(report=report, columns=None, file=str(path), sha256=digest)
    try:
        columns = read_per_image(report.per_image, path)
    except InvalidReport as error:
        return Entrant(report=report, columns=None, file=str(path), sha256=digest, bare=error.problem)
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:  # a foreign file that carries its own hash
        reason = f"{report.per_image.path} is no table of images: {error}"
        return Entrant(report=report, columns=None, file=str(path), sha256=digest, bare=reason)
    if "id" not in columns or any(values.shape != columns["id"].shape for values in columns.values()):
        reason = f"{report.per_image.path} is no table of images"
        return Entrant(report=report, columns=None, file=str(path), sha256=digest, bare=reason)
    return Entrant(report=report, columns=columns, file=str(path), sha256=digest)


def told_apart(entrants: Sequence[Entrant]) -> list[str]:
    """A name for each: its model, with the file where several have that model, with a number where that is one file."""
    names = [entrant.report.model.resolved for entrant in entrants]
    counts = Counter(names)
    names = [
        f"{name} ({_place(entrant)})" if counts[name] > 1 else name
        for name, entrant in zip(names, entrants, strict=True)
    ]
    counts = Counter(names)
    return [f"{name} #{names[: at + 1].count(name)}" if counts[name] > 1 else name for at, name in enumerate(names)]


def differing_data(entrants: Sequence[Entrant]) -> dict[int, list[str]]:
    """How the images of some differ from the reference's, by place."""
    reference, *others = (Asked.of(entrant.report) for entrant in entrants)
    found = {place: data_differences(asked, reference, REFERENCE) for place, asked in enumerate(others, start=1)}
    return {place: differences for place, differences in found.items() if differences}


def _place(entrant: Entrant) -> str:
    path = Path(entrant.file)
    return str(path.parent if path.name == REPORT_NAME and path.parent.name else path)
