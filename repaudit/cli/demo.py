"""`repaudit demo`: the whole pipeline, no network, no data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where the report goes. Default: repaudit-demo", show_default=False),
    ] = None,
) -> None:
    """Audit an embedded network on embedded handwritten digits; writes what `scan -o DIR` writes."""
    from repaudit.cli._run import Presentation, run
    from repaudit.demo import CREDIT, DATA, MODEL, PROFILE, demonstrate
    from repaudit.device import limit_threads

    limit_threads(1)
    target = folder or Path("repaudit-demo")
    presentation = Presentation(outputs=(str(target),), quiet=False, verbose=False, exit_zero=True)
    status = run(lambda progress: demonstrate(progress, argv=tuple(sys.argv[1:])), presentation)
    typer.echo(CREDIT)
    typer.echo("An example: a failed gate leaves exit status 0 here, `scan` would return 1. The same by hand:")
    typer.echo(f"  repaudit scan {MODEL} --data {DATA} --profile {PROFILE} -o {target}")
    raise typer.Exit(status)
