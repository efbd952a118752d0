"""`repaudit report`: a saved report, shown again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from repaudit.errors import UsageError


def report(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="REPORT", help="A report.json written by scan, or its folder.", show_default=False),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of reports instead.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Every metric.")] = False,
) -> None:
    """Print a saved report again; nothing is measured, no model is needed."""
    from repaudit.render.terminal import console_for, print_report
    from repaudit.report import read
    from repaudit.report import schema as report_schema

    if schema:
        typer.echo(json.dumps(report_schema(), indent=2))
        return
    if path is None:
        raise UsageError("which report?", remedy="repaudit report out/report.json   (or: repaudit report --schema)")
    print_report(read(path / "report.json" if path.is_dir() else path), console_for(), verbose=verbose)
