"""The folder of one run: whose it is, and whether anything is left to do in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from repaudit import __version__
from repaudit.errors import InvalidOutput, InvalidRecipe
from repaudit.profiles.shown import shown
from repaudit.report import read
from repaudit.train import journal
from repaudit.train.table import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from repaudit.train.runs import Run

FILE = "run.json"
_TABLES = {"table.json": b'{\n  "recipe": ', "table.csv": b"method,alpha,"}
"""By which a table of ours is known."""
MODEL, REPORT = "model.safetensors", "report.json"
_SHOWN = 6


def claim(folder: Path, run: Run, data: Mapping[str, str]) -> None:
    """Makes the folder of a run, or makes sure that an earlier call made it for the same one.

    Args:
        folder: of the run.
        run: what is trained in it.
        data: fingerprints of the images.

    Raises:
        InvalidRecipe: it belongs to a run with other settings or data; the differences are listed.
        InvalidOutput: it cannot be written, or holds files of others.
    """
    wanted = {**run.decisive, "data_sha256": dict(data)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        if path.exists():
            _refuse_other(json.loads(path.read_text(encoding="utf-8")), wanted, folder)
            return
        foreign = sorted(entry.name for entry in folder.iterdir())
        if foreign:
            raise InvalidOutput(
                f"{folder} is no folder of ours: it holds {foreign[0]}", remedy="-o DIR with a folder of its own"
            )
        fresh = path.with_suffix(".new")
        content = {"tool": f"repaudit {__version__}", "identity": run.identity, "settings": wanted}
        fresh.write_text(json.dumps(content, indent=2, allow_nan=False), encoding="utf-8")
        fresh.replace(path)
    except (OSError, ValueError) as error:
        raise InvalidOutput(f"{folder} cannot be used: {error}", remedy="-o DIR elsewhere") from None


def results(folder: Path, runs: Sequence[Run]) -> tuple[Result, ...]:
    """Of all runs whose report is there, whoever made it.

    Raises:
        InvalidReport: a report cannot be read.
        UnfinishedError: a log cannot be read.
    """
    found = []
    for run in runs:
        place = folder / run.name
        if (place / REPORT).exists():
            held_out = journal.final(place)[1]
            found.append(Result(run, read(place / REPORT), None if held_out is None else held_out.accuracy))
    return tuple(found)


def refuse_foreign_tables(folder: Path) -> None:
    """Makes sure that the tables of a matrix would replace tables of a matrix and nothing else.

    Raises:
        InvalidOutput: a file of that name is not ours.
    """
    for name, beginning in _TABLES.items():
        path = folder / name
        try:
            ours = not path.exists() or path.read_bytes().startswith(beginning)
        except OSError as error:
            raise InvalidOutput(f"{path} cannot be read: {error}", remedy="-o DIR elsewhere") from None
        if not ours:
            raise InvalidOutput(f"{path} is no table of ours and would be overwritten", remedy="-o DIR elsewhere")


def is_trained(folder: Path) -> bool:
    """Whether the exported checkpoint is there; it is written last."""
    return (folder / MODEL).exists()


def _refuse_other(kept: object, wanted: Mapping[str, object], folder: Path) -> None:
    before = kept.get("settings") if isinstance(kept, dict) else None
    if before == wanted:
        return
    there = _flat(before if isinstance(before, dict) else {})
    here = _flat(wanted)
    keys = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
    lines = [f"{key}: {shown(there.get(key))} there, {shown(here.get(key))} now" for key in keys[:_SHOWN]]
    more = [f"and {len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else []
    raise InvalidRecipe(
        f"{folder} holds a run of another recipe",
        detail="\n".join([*lines, *more]),
        remedy=f"-o with another folder, or rm -r {folder}",
    )


def _flat(tree: Mapping[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found
