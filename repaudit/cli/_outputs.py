"""Where a report goes, decided and tried before the first image is read."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from repaudit.errors import InvalidOutput

REPORT_NAME = "report.json"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Report files to write, and whether JSON goes to stdout."""

    files: tuple[Path, ...]
    stdout: bool


def prepare(wanted: tuple[str, ...]) -> Outputs:
    """Turns `-o` values into paths and proves that each can be written.

    A name without a suffix, or an existing folder, is a folder: it gets `report.json` and its sidecar.

    Raises:
        InvalidOutput: an unknown format, a missing or read-only folder, or a file that is no report of ours.
    """
    files = []
    for each in wanted:
        if each == "-":
            continue
        path = Path(each)
        if path.is_dir() or not path.suffix:
            path = _folder(path) / REPORT_NAME
        elif path.suffix != ".json":
            raise InvalidOutput(
                f"`{each}`: no report format is called `{path.suffix}`",
                detail="This version writes .json, and a folder with report.json and per_image.npz.",
                remedy=f"-o {path.with_suffix('.json')}",
            )
        _require_writable(path)
        files.append(path)
    return Outputs(tuple(files), "-" in wanted)


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


def _require_writable(path: Path) -> None:
    if not path.parent.is_dir():
        raise _missing(path.parent)
    if path.is_dir():
        raise InvalidOutput(f"`{path}` is a folder, not a file", remedy=f"-o {path}/report.json")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _read_only(path, error) from None
    if path.exists() and not _is_report(path):
        raise InvalidOutput(
            f"`{path}` exists and is no report of repaudit", detail="It was left as it is.", remedy="another name"
        )


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("tool", {}).get("name") == "repaudit"


def _missing(folder: Path) -> InvalidOutput:
    return InvalidOutput(f"the folder `{folder}` does not exist", remedy=f"mkdir -p {folder}")


def _read_only(path: Path, error: OSError) -> InvalidOutput:
    return InvalidOutput(
        f"`{path}` cannot be written: {error.strerror}", detail="Nothing was measured.", remedy="-o another/folder"
    )
