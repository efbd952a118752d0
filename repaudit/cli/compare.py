"""`repaudit compare`: saved reports, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from repaudit.cli import completing
from repaudit.cli.scan import Verbose
from repaudit.errors import UsageError, nearest

if TYPE_CHECKING:
    from repaudit.published import Paper


def compare(
    reports: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="REPORT REPORT…",
            help="Two or more report.json, or their folders, each with its per_image.npz beside it. "
            "The first is the reference.",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="METRIC",
            help="Best first by this metric; largest first where neither direction is better.",
            envvar="REPAUDIT_SORT",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="A,B",
            help="These columns only, such as top1,ece,fgsm.asr. Default: headlines.",
            envvar="REPAUDIT_METRICS",
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            "--published",
            metavar="rs|vs",
            autocompletion=completing.papers,
            help="Rows of a paper beside yours: rs (arXiv 2410.03999), vs (AAAI 2025).",
            envvar="REPAUDIT_PUBLISHED",
        ),
    ] = None,
    allow_different_data: Annotated[
        bool,
        typer.Option(
            "--allow-different-data",
            help="Show values of reports that cannot be compared, unpaired, instead of refusing.",
            envvar="REPAUDIT_ALLOW_DIFFERENT_DATA",
        ),
    ] = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|-",
            help="Where the comparison goes; repeatable. .json, .html, .md or .csv; - for JSON on stdout.",
            envvar="REPAUDIT_OUTPUT",
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Put saved reports side by side and compare each with the first, image by image; needs no model."""
    from repaudit.leaderboard import leaderboard
    from repaudit.output.comparison import prepare_comparison, save_comparison
    from repaudit.render.leaderboard.terminal import print_leaderboard
    from repaudit.render.progress import progress_for
    from repaudit.render.terminal import console_for

    paper = _paper(published)
    outputs = prepare_comparison(output or [])
    with progress_for(sys.stderr, quiet=False, verbose=verbose) as progress:
        board = leaderboard(
            reports or [],
            metrics=[name.strip() for name in (metrics or "").split(",") if name.strip()],
            sort=sort,
            published=paper,
            allow_different_data=allow_different_data,
            everything=verbose,
            progress=progress,
        )
    for path in save_comparison(board, outputs.files):
        sys.stderr.write(f"comparison: {path}\n")
    if outputs.stdout:
        sys.stdout.write(board.to_json())
        sys.stdout.flush()
    else:
        print_leaderboard(board, console_for(), verbose=verbose)


def _paper(name: str | None) -> Paper | None:
    from repaudit.published import Paper

    if name is None:
        return None
    if name not in list(Paper):
        near = nearest(name.lower(), list(Paper), 1) or [Paper.RS.value]
        raise UsageError(
            f"no figures of a paper `{name}` are kept",
            detail="rs is arXiv 2410.03999, vs is AAAI 2025",
            remedy=f"--published {near[0]}",
        )
    return Paper(name)
