"""`repaudit gate`: a saved report, judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from repaudit.cli.scan import Baseline, ExitZero, Profile, Quiet, Settings, Verbose

GATE_FAILED = 1


def gate(
    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="A report.json written by scan, or its folder.", show_default=False)
    ],
    profile: Profile = None,
    settings: Settings = None,
    baseline: Baseline = None,
    exit_zero: ExitZero = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge a saved report again, by the gates of a profile or its own; nothing is measured, no model is needed."""
    from repaudit.judge import judge_again
    from repaudit.render.terminal import console_for, print_report, print_summary

    judged = judge_again(report, profile=profile, settings=settings or [], baseline=baseline, directory=Path.cwd())
    if quiet:
        print_summary(judged, console_for())
    else:
        print_report(judged, console_for(), verbose=verbose)
    status = judged.run.exit_code
    raise typer.Exit(0 if exit_zero and status == GATE_FAILED else status)
