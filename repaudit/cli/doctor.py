"""`repaudit doctor`: what a bug report needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Delete kept clean passes and content hashes.")
    ] = False,
) -> None:
    """Versions, devices, caches and data found; the first line is for bug reports."""
    from repaudit import cache
    from repaudit.doctor import diagnose

    if clear_cache:
        freed = cache.size()
        cache.clear()
        typer.echo(f"cleared {cache.folder()} ({freed / 1e6:.1f} MB)")
        return
    found = diagnose()
    if as_json:
        typer.echo(json.dumps(asdict(found), default=str, indent=2))
        return
    typer.echo(found.line)
    typer.echo(f"packages  {', '.join(f'{name} {number}' for name, number in found.packages.items())}")
    typer.echo(f"devices   {', '.join(found.devices)}")
    writable = "" if found.cache_writable else ", not writable: nothing will be kept"
    typer.echo(f"cache     {found.cache_folder} ({found.cache_bytes / 1e6:.1f} MB{writable})")
    typer.echo(f"data      {', '.join(found.data)}")
    typer.echo("network   only for timm/torchvision names whose weights are not here yet; never with --offline")
