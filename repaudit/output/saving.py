"""Writes a report to all its places, each file whole or not at all."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.errors import InvalidReport, UnfinishedError
from repaudit.output.destination import FIGURES, REPORT_NAME
from repaudit.output.formats import Format, rendered
from repaudit.report import RunStatus, read, read_per_image, replace_file, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from repaudit.output.destination import Outputs, Target
    from repaudit.report import Report


@dataclass(frozen=True, slots=True)
class Saved:
    """A report as it was written, and where."""

    report: Report
    paths: tuple[Path, ...]


def save(report: Report, columns: Mapping[str, np.ndarray] | None, outputs: Outputs) -> Saved:
    """Writes every file of `outputs`, the JSON first.

    Args:
        report: as it stands.
        columns: (n,) each, of the per-image rows; None leaves them out.
        outputs: as `prepare` made them.

    Raises:
        UnfinishedError: a file cannot be written.
    """
    kept, paths = report.model_copy(update={"per_image": None}), []
    for target in outputs.files:
        path = _beside_a_complete_one(target, report)
        with _told(path):
            if target.format is Format.JSON:
                kept = write(report.model_copy(update={"per_image": None}), path, columns=columns)
            else:
                replace_file(path, rendered(report, target.format).encode("utf-8"))
        paths.append(path)
    for folder in outputs.folders:
        with _told(folder / FIGURES):
            paths += _figures(report, folder / FIGURES)
    return Saved(kept, tuple(paths))


def reopened(path: Path) -> tuple[Report, Mapping[str, np.ndarray] | None]:
    """A saved report and its per-image rows, where they still lie beside it.

    Raises:
        InvalidReport: the report cannot be read, or the rows beside it are not its own.
    """
    path = path / REPORT_NAME if path.is_dir() else path
    report = read(path)
    if report.per_image is None or not (path.parent / report.per_image.path).exists():
        return report, None
    return report, read_per_image(report.per_image, path)


def _figures(report: Report, folder: Path) -> list[Path]:
    from repaudit.render.figures import drawings, names, to_png, to_svg_file

    drawn = drawings(report)
    _remove_stale(folder, {name.replace("_", "-") for name in names()}, {drawing.name for drawing in drawn})
    if not drawn:
        return []
    folder.mkdir(exist_ok=True)
    for drawing in drawn:
        replace_file(folder / f"{drawing.name}.svg", to_svg_file(drawing).encode("utf-8"))
        replace_file(folder / f"{drawing.name}.png", to_png(drawing))
    return [folder]


def _remove_stale(folder: Path, kinds: set[str], kept: set[str]) -> None:
    """Drawings of an earlier report must not pass for this one's; other files are left."""
    for path in folder.glob("*.*") if folder.is_dir() else ():
        ours = path.stem in kinds or any(path.stem.startswith(f"{kind}-") for kind in kinds)
        if ours and path.stem not in kept and path.suffix in {".svg", ".png"}:
            path.unlink()


def _beside_a_complete_one(target: Target, report: Report) -> Path:
    """Where a file goes: what is not complete never replaces what is, or what cannot be read."""
    path = target.path
    if report.run.status is RunStatus.COMPLETE or not path.exists():
        return path
    if target.format is Format.JSON:
        with suppress(InvalidReport):
            if read(path).run.status is not RunStatus.COMPLETE:
                return path
    return path.with_name(f"{path.stem}.partial{path.suffix}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tells what kept a file from being written."""
    try:
        yield
    except OSError as error:
        raise UnfinishedError(
            f"the report could not be written to `{path}`: {error.strerror}",
            detail="What was measured is kept: the same command does not repeat it.",
            remedy="-o another/folder",
        ) from None
