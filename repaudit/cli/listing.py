"""`repaudit list`: what exists."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from repaudit.cli import completing
from repaudit.cli.heads import print_heads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.catalogue import Entry, Kind, Page

WIDTH = 100
KINDS = ("audits", "attacks", "metrics", "models", "data", "profiles", "recipes")


def listing(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help=f"What to list: {', '.join(KINDS[:-1])} or {KINDS[-1]}; all without it.",
            autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Only this one: an audit with its parameters, an attack with its options, what a metric is, "
            "the text of a profile or a recipe; with --head an architecture, or a pattern such as 'resnet*'.",
            autocompletion=completing.things,
        ),
    ] = None,
    head: Annotated[
        bool,
        typer.Option("--head", help="Of models: where the linear head of every timm and torchvision architecture is."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What exists: audits, attacks, metrics, model sources, data layouts, profiles, training recipes."""
    from repaudit.catalogue import Kind, entries, page
    from repaudit.errors import UsageError, nearest

    if kind is not None and kind not in list(Kind):
        near = nearest(kind, list(Kind), 1) or [Kind.AUDITS.value]
        raise UsageError(f"there is nothing called `{kind}` to list", remedy=f"repaudit list {near[0]}")
    if head:
        if kind != Kind.MODELS:
            raise UsageError("--head belongs to models", remedy="repaudit list models --head")
        print_heads(name, as_json=as_json)
        return
    if kind is not None and name is not None:
        _print_page(page(Kind(kind), name), _text(Kind(kind), name), as_json=as_json)
        return
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
        _print_rows(entries(each))


def _text(kind: Kind, name: str) -> str | None:
    """The file of what users copy."""
    from repaudit.catalogue import Kind

    match kind:
        case Kind.PROFILES:
            from repaudit.profiles import text as text_of_profile

            return text_of_profile(name)
        case Kind.RECIPES:
            from repaudit.train.reading import text as text_of_recipe

            return text_of_recipe(name)
        case _:
            return None


def _print_page(shown: Page, file: str | None, *, as_json: bool) -> None:
    """The page; of what users copy, its `file` instead, and nothing else."""
    sections = {heading: {row.name: row.summary for row in rows} for heading, rows in shown.sections.items()}
    if as_json:
        whole = {} if file is None else {"text": file}
        typer.echo(
            json.dumps({"name": shown.entry.name, "summary": shown.entry.summary, **sections, **whole}, indent=2)
        )
        return
    if file is not None:
        typer.echo(file, nl=False)
        return
    typer.echo(f"{shown.entry.name}: {shown.entry.summary}")
    for heading, rows in shown.sections.items():
        typer.echo(f"\n{heading}" if heading else "")
        if rows:
            _print_rows(rows)
        else:
            typer.echo("  none")


def _print_rows(rows: Sequence[Entry]) -> None:
    width = max(len(row.name) for row in rows)
    beside = max(WIDTH - width - 4, 40)
    for row in rows:
        first, *others = wrap(row.summary, beside, break_on_hyphens=False) or [""]
        typer.echo(f"  {row.name:<{width}}  {first}".rstrip())
        for line in others:
            typer.echo(f"  {'':<{width}}  {line}")
