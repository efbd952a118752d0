"""`repaudit demo`: the whole pipeline, no network, no data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from repaudit.leaderboard import Leaderboard


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
    _compare(target, tuple(sys.argv[1:]))
    raise typer.Exit(status)


def _compare(target: Path, argv: tuple[str, ...]) -> None:
    """Five networks that differ in their labels alone, beside the one of one-hot labels."""
    from repaudit.cli._run import to_whoever_reads
    from repaudit.demo import BASELINES, compare_baselines
    from repaudit.output.comparison import prepare_comparison, save_comparison
    from repaudit.render.progress import progress_for
    from repaudit.render.terminal import console_for

    places = prepare_comparison([str(target / f"comparison{suffix}") for suffix in (".json", ".html", ".md", ".csv")])
    with progress_for(sys.stderr, quiet=False, verbose=False) as progress:
        board = compare_baselines(progress, argv=argv)
    for path in save_comparison(board, places.files):
        sys.stderr.write(f"comparison: {path}\n")
    with to_whoever_reads():
        typer.echo(f"\n{len(BASELINES)} networks that were trained alike, each with labels made soft in another way:\n")
        _print_side_by_side(board, console_for())
        typer.echo("More seeds, and the tests over them: repaudit train --recipe digits")


def _print_side_by_side(board: Leaderboard, console: Console) -> None:
    """A line a metric, a column a network; what the comparison with the first one shows is a mark."""
    from rich.text import Text

    from repaudit.leaderboard import Standing
    from repaudit.render.plain import number
    from repaudit.render.table import TableColumn, lay_out
    from repaudit.render.terminal import WIDTH

    marks = {Standing.BETTER: " +", Standing.WORSE: " −", Standing.UNPROVEN: " ~", Standing.UNPAIRED: ""}
    names = [row.name.rpartition("-")[2] for row in board.rows]
    columns = [TableColumn("Metric"), *(TableColumn(name, right=True) for name in names)]
    lines = []
    for column in board.columns:
        cells = [row.cells[column.key] for row in board.rows]
        told = [
            "–" if cell.value is None else number(cell.value) + ("" if cell.standing is None else marks[cell.standing])
            for cell in cells
        ]
        lines.append([Text(column.title), *map(Text, told)])
    for line in lay_out(columns, lines, console, WIDTH):
        console.print(line, soft_wrap=True)
    typer.echo("\n+ better and − worse than one-hot labels on the same images at 95 %, ~ not told apart")
