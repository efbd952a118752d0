"""Where a report goes, decided and tried before the first image is read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidOutput
from repaudit.output.formats import Format, is_ours
from repaudit.report.sidecar import sidecar_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPORT_NAME = "report.json"
FIGURES = "figures"
IN_A_FOLDER = (Format.JSON, Format.HTML, Format.MARKDOWN)
"""What a folder gets, beside the per-image rows and the figures."""


@dataclass(frozen=True, slots=True)
class Target:
    """One file to write."""

    path: Path
    format: Format


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files to write, folders that get figures, and whether JSON goes to stdout."""

    files: tuple[Target, ...]
    """JSON first: whatever goes wrong with the others, the measurement is kept."""
    folders: tuple[Path, ...]
    stdout: bool


def prepare(wanted: Sequence[str]) -> Outputs:
    """Turns `-o` values into paths and proves that each can be written.

    A name without a suffix, with a slash at its end, or an existing folder, is a folder.

    Raises:
        InvalidOutput: no name, an unknown format, a missing or read-only folder, or a file that is not ours.
    """
    files: list[Target] = []
    folders: list[Path] = []
    for each in wanted:
        if each == "-":
            continue
        path = Path(each)
        if is_folder(each):
            folder = _folder(path)
            files += [Target(folder / f"report{suffix}", suffix) for suffix in IN_A_FOLDER]
            folders.append(folder)
        else:
            files.append(Target(path, _format(path)))
    for target in files:
        require_writable(target.path)
        if target.format is Format.JSON:
            _require_our_rows(target.path)
    for folder in folders:
        _require_our_figures(folder)
    in_order = sorted(dict.fromkeys(files), key=lambda target: target.format is not Format.JSON)
    return Outputs(tuple(in_order), tuple(dict.fromkeys(folders)), "-" in wanted)


def is_folder(name: str) -> bool:
    """Whether an `-o` value means a folder.

    Raises:
        InvalidOutput: it is no name: empty, or an extension with nothing before it.
    """
    if not name.strip():
        raise InvalidOutput("-o has an empty name", detail="A variable that is not set is empty.", remedy="-o out/")
    if Path(name).name.lower() in list(Format) and not name.endswith("/"):
        path = Path(name)
        raise InvalidOutput(
            f"`{name}` is an extension without a name before it",
            detail="A variable that is not set is empty.",
            remedy=f"-o {path.with_name(f'report{path.name.lower()}')}",
        )
    return name != "-" and (name.endswith("/") or Path(name).is_dir() or not Path(name).suffix)


def _format(path: Path) -> Format:
    try:
        return Format(path.suffix)
    except ValueError:
        lower = path.suffix.lower()
        raise InvalidOutput(
            f"`{path}`: no report format is called `{path.suffix}`",
            detail="formats: .json, .html, .md, .csv, .xml (JUnit); a name without a suffix is a folder",
            remedy=f"-o {path.with_suffix(lower if lower in list(Format) else Format.JSON)}",
        ) from None


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise InvalidOutput(f"`{path}` is a file, not a folder", remedy=f"-o {path}.json   or another name")
    if not path.exists() and not path.parent.is_dir():
        raise _missing(path.parent)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise _read_only(path, error) from None
    return path


def require_writable(path: Path, is_own: Callable[[Path], bool] = is_ours, kind: str = "report") -> None:
    """Proves that a file can be written and that nothing of others lies there.

    Args:
        path: of the file.
        is_own: whether a file that lies there was written by repaudit as one of this kind.
        kind: how errors call it.

    Raises:
        InvalidOutput: a missing or read-only folder, a folder in its place, or a file that is not ours.
    """
    if not path.parent.is_dir():
        raise _missing(path.parent)
    if path.is_dir():
        raise InvalidOutput(f"`{path}` is a folder, not a file", remedy=f"-o {path.parent}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _read_only(path, error) from None
    if path.exists() and not is_own(path):
        raise InvalidOutput(
            f"`{path}` exists and is no {kind} of repaudit", detail="It was left as it is.", remedy="another name"
        )


def _require_our_rows(report: Path) -> None:
    """Per-image rows carry no mark: they are ours only beside a report of ours."""
    rows = report.with_name(sidecar_name(report))
    if rows.exists() and not report.exists():
        raise InvalidOutput(
            f"`{rows}` exists, and no report of repaudit lies beside it",
            detail="It was left as it is.",
            remedy="-o another/folder",
        )


def _require_our_figures(folder: Path) -> None:
    """Pictures carry no mark of ours: a folder of figures is ours only beside a report of ours."""
    figures = folder / FIGURES
    if not figures.exists() or (figures.is_dir() and (is_ours(folder / REPORT_NAME) or not any(figures.iterdir()))):
        return
    raise InvalidOutput(
        f"`{figures}` exists, and no report of repaudit lies beside it",
        detail="It was left as it is.",
        remedy="-o another/folder",
    )


def _missing(folder: Path) -> InvalidOutput:
    return InvalidOutput(f"the folder `{folder}` does not exist", remedy=f"mkdir -p {folder}")


def _read_only(path: Path, error: OSError) -> InvalidOutput:
    return InvalidOutput(
        f"`{path}` cannot be written: {error.strerror}", detail="Nothing was measured.", remedy="-o another/folder"
    )
