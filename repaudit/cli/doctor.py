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
        freed = cache.clear()
        done = f"cleared {freed / 1e6:.1f} MB of" if freed else "nothing to clear in"
        typer.echo(f"{done} {cache.folder()}")
        return
    found = diagnose()
    if as_json:
        typer.echo(json.dumps(asdict(found), default=str, indent=2))
        return
    typer.echo(found.line)
    typer.echo(f"packages  {', '.join(f'{name} {number}' for name, number in found.packages.items())}")
    typer.echo(f"devices   {', '.join(found.devices)}")
    state = f"{found.cache_bytes / 1e6:.1f} MB"
    if found.cache_obstacle is not None:
        state = f"cannot be written, so nothing will be kept: {found.cache_obstacle}"
    typer.echo(f"cache     {found.cache_folder} ({state})")
    typer.echo(f"data      {', '.join(found.data)}")
    typer.echo("network   only for timm/torchvision names whose weights are not here yet; never with --offline")
