"""`repaudit report`: a saved report, shown again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from repaudit.cli.scan import Files
from repaudit.errors import UsageError


def report(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="REPORT", help="A report.json written by scan, or its folder.", show_default=False),
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of reports instead.")] = False,
    output: Files = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Every metric.")] = False,
) -> None:
    """Show a saved report again, or write it as HTML, Markdown, JUnit or CSV; no model is needed."""
    from repaudit.cli._run import Presentation, present
    from repaudit.output import prepare, reopened, save
    from repaudit.report import schema as report_schema

    if schema:
        typer.echo(json.dumps(report_schema(), indent=2))
        return
    if path is None:
        raise UsageError("which report?", remedy="repaudit report out/report.json   (or: repaudit report --schema)")
    outputs = prepare(output or [])
    shown, columns = reopened(path)
    saved = save(shown, columns, outputs)
    presentation = Presentation(outputs=tuple(output or ()), quiet=bool(outputs.files), verbose=verbose, exit_zero=True)
    present(saved, presentation, as_json=outputs.stdout)
