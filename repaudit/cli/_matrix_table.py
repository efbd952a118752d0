"""The table of a matrix in the terminal."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING

from rich.text import Text

from repaudit.render.plain import number, safe
from repaudit.render.table import TableColumn, lay_out
from repaudit.render.terminal import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from repaudit.train.table import Cell, Row, Table

LEVEL = 0.05
"""Of the paired test that a mark stands for."""
_MOST_DECIMALS = 5


def print_table(table: Table, console: Console) -> None:
    """A line a metric, a column a method: mean ± sd over seeds, with a mark where it is told from one-hot labels."""
    shown = [row for row in table.rows if row.chosen]
    columns = [TableColumn("Metric", narrowest=10), *(TableColumn(safe(row.name), right=True) for row in shown)]
    lines = [[Text(_title(key)), *(_told(row.cells[key]) for row in shown)] for key in table.columns]
    for line in lay_out(columns, lines, console, WIDTH):
        console.print(line, soft_wrap=True)
    console.print()
    for remark in _remarks(table, shown):
        console.print(Text(remark), soft_wrap=True)


def _title(key: str) -> str:
    parts = key.split(".")
    return f"{parts[1]} {parts[2]}" if parts[0] == "robustness" else parts[1]


def _told(cell: Cell) -> Text:
    if cell.mean is None:
        return Text("–")
    mark = "*" if cell.p is not None and cell.p < LEVEL else ""
    if not cell.sd:
        return Text(f"{number(cell.mean)}{mark}")
    # two digits of the deviation count, and the mean has as many decimals
    decimals = min(max(0, 1 - floor(log10(cell.sd))), _MOST_DECIMALS)
    return Text(f"{cell.mean:.{decimals}f} ±{cell.sd:.{decimals}f}{mark}")


def _remarks(table: Table, shown: list[Row]) -> Iterator[str]:
    tests = [cell for row in shown for cell in row.cells.values() if cell.p is not None]
    runs = sorted({row.runs for row in shown})
    yield f"mean ± standard deviation over {' or '.join(map(str, runs))} seeds"
    if tests:
        yield (
            f"* differs from one-hot labels by a paired t test over seeds, p < {LEVEL:g}, not adjusted for "
            f"{len(tests)} tests: about {max(1, round(LEVEL * len(tests)))} would be marked if nothing differed"
        )
    elif len(shown) > 1:
        yield "no paired test: that needs two seeds in common with one-hot labels"
    grid = [row for row in table.rows if row.alpha is not None]
    if grid:
        masses = ", ".join(f"{row.name}{' (chosen)' if row.chosen else ''} {_held(row)}" for row in grid)
        yield f"chosen by accuracy on images kept back from training: {masses}"


def _held(row: Row) -> str:
    return "–" if row.held_out_accuracy is None else number(row.held_out_accuracy)
