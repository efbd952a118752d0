"""`repaudit gate`: a saved report, judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repaudit.cli.scan import Baseline, ExitZero, Files, Profile, Quiet, Settings, Verbose


def gate(
    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="A report.json written by scan, or its folder.", show_default=False)
    ],
    profile: Profile = None,
    settings: Settings = None,
    baseline: Baseline = None,
    output: Files = None,
    exit_zero: ExitZero = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge a saved report again, by the gates of a profile or its own; nothing is measured, no model is needed."""
    from repaudit.cli._run import Presentation, present
    from repaudit.judge import judge_again
    from repaudit.output import prepare, reopened, save

    outputs = prepare(output or [])
    judged = judge_again(report, profile=profile, settings=settings or [], baseline=baseline, directory=Path.cwd())
    columns = reopened(report)[1] if outputs.files else None
    presentation = Presentation(
        outputs=tuple(output or ()), quiet=quiet, verbose=verbose, exit_zero=exit_zero, announced=True
    )
    present(save(judged, columns, outputs), presentation, as_json=outputs.stdout)
    raise typer.Exit(presentation.status(judged))
