"""`repaudit list`: what exists."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def listing(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[audits|attacks|metrics|models|data|profiles]", help="What to list; all without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What exists: audits, attacks, metrics, model sources, data layouts, profiles."""
    from repaudit.catalogue import Kind, entries
    from repaudit.errors import UsageError, nearest

    if kind is not None and kind not in list(Kind):
        near = nearest(kind, list(Kind), 1) or [Kind.AUDITS.value]
        raise UsageError(f"there is nothing called `{kind}` to list", remedy=f"repaudit list {near[0]}")
    kinds = [Kind(kind)] if kind else list(Kind)
    if as_json:
        found = {kind.value: {entry.name: entry.summary for entry in entries(kind)} for kind in kinds}
        typer.echo(json.dumps(found, indent=2))
        return
    for number, each in enumerate(kinds):
        if number:
            typer.echo()
        if len(kinds) > 1:
            typer.echo(each.value)
        rows = entries(each)
        width = max(len(row.name) for row in rows)
        for row in rows:
            typer.echo(f"  {row.name:<{width}}  {row.summary}")
