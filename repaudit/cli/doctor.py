"""`repaudit doctor`: what a bug report needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

_INDENT = 10
_TIED = "\x00"
"""Stands for a blank at which no line may end."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Delete kept clean passes and content hashes.")
    ] = False,
) -> None:
    """Versions, devices, caches and data found; the first line is for bug reports."""
    from repaudit import cache
    from repaudit.doctor import diagnose
    from repaudit.render.terminal import console_for

    if clear_cache:
        freed = cache.clear()
        done = f"cleared {freed / 1e6:.1f} MB of" if freed else "nothing to clear in"
        typer.echo(f"{done} {cache.folder()}")
        return
    found = diagnose()
    if as_json:
        typer.echo(json.dumps(asdict(found), default=str, indent=2))
        return
    state = f"{found.cache_bytes / 1e6:.1f} MB"
    if found.cache_obstacle is not None:
        state = f"cannot be written, so nothing will be kept: {found.cache_obstacle}"
    width = console_for().width
    typer.echo(_wrapped("", found.line.split(", "), width))
    for label, items in (
        ("packages", [f"{name} {number}" for name, number in found.packages.items()]),
        ("devices", found.devices),
        *((("onnx", ["onnxruntime providers: " + ", ".join(found.providers)]),) if found.providers else ()),
        ("cache", [f"{found.cache_folder} ({state})"]),
        ("data", found.data),
        ("network", [found.network]),
    ):
        typer.echo(_wrapped(label, items, width))


def _wrapped(label: str, items: Sequence[str], width: int) -> str:
    """The items, with a line break rather between them than within; words, such as paths, stay whole."""
    kept = [item if len(item) > width - _INDENT else item.replace(" ", _TIED) for item in items]
    lines = fill(
        f"{label:<{_INDENT}}{', '.join(kept)}" if label else ", ".join(kept),
        width,
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(_TIED, " ")
