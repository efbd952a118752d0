"""`repaudit list models --head`: where the linear head of every architecture is."""

from __future__ import annotations

import json
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING

import typer

from repaudit.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.heads import Row, Table

OF_FILES = frozenset({".onnx", ".pt2", ".ts", ".torchscript", ".safetensors", ".pth", ".pt", ".tar", ".th", ".py"})
"""Endings that no architecture's name has."""


def print_heads(pattern: str | None, *, as_json: bool) -> None:
    """The shipped table, or the rows whose name fits a pattern.

    Args:
        pattern: a name, or one with `*`; with or without its library, such as `resnet50` or `torchvision:*`.
        as_json: as JSON rather than as text.

    Raises:
        UsageError: no architecture fits; the nearest is named.
    """
    from repaudit.heads import read

    table = read()
    rows = table.rows if pattern is None else _fitting(pattern, table.rows)
    if as_json:
        found = {
            "walked": table.walked,
            "versions": dict(table.versions),
            "architectures": [asdict(row) for row in rows],
        }
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(_heading(table))
    typer.echo()
    name, kind = max(len(_name(row)) for row in rows), max(len(row.kind) for row in rows)
    for row in rows:
        told = row.reason if row.width is None else f"{row.width:>5}  {' '.join(row.layers)}"
        typer.echo(f"  {_name(row):<{name}}  {row.kind:<{kind}}  {told}")


def _heading(table: Table) -> str:
    """How many of each library's classifiers can be split, and when that was found."""
    lines = [f"The linear head of every architecture, walked {table.walked} with random weights: kind, width, layers."]
    for library in dict.fromkeys(row.library for row in table.rows):
        classifiers = [row for row in table.rows if row.library == library and row.classes]
        found = sum(row.width is not None for row in classifiers)
        share = 100 * found / len(classifiers)
        embed = sum(row.embeds for row in classifiers)
        told = f"; {embed} of them answer with an embedding rather than with classes" if embed else ""
        lines.append(
            f"{library} {table.versions[library]}: {found:,} of {len(classifiers):,} classifiers ({share:.1f} %){told}"
        )
    return "\n".join(lines)


def _name(row: Row) -> str:
    return row.name if row.library == "timm" else f"{row.library}:{row.name}"


def _fitting(pattern: str, rows: Sequence[Row]) -> list[Row]:
    bare = pattern.removeprefix("timm:")
    found = [row for row in rows if fnmatchcase(_name(row), bare)]
    if not found and PurePath(bare).suffix in OF_FILES:
        raise UsageError(
            f"`{pattern}` is a file, and this table lists architectures",
            remedy=f"repaudit scan {pattern}   (its report says where the head is)",
        )
    if not found:
        untagged = bare.partition(".")[0]
        near = nearest(untagged, [_name(row) for row in rows], 1)
        raise UsageError(
            f"no architecture fits `{pattern}`",
            detail="architectures of timm and torchvision, without tags; `*` stands for anything",
            remedy=f"repaudit list models {near[0]} --head" if near else "repaudit list models --head",
        )
    return found
