"""The leaderboard in at most 100 columns: who is told apart, the values, the differences, what to mind."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from repaudit.leaderboard import Standing
from repaudit.render.leaderboard.figures import (
    MARKS,
    MASKED,
    NOTHING,
    WORDS,
    decimals_of,
    is_masked,
    printed,
    shown,
    titles_beside,
)
from repaudit.render.leaderboard.grid import Grid
from repaudit.render.leaderboard.remarks import header, listed, next_step, remarks
from repaudit.render.plain import safe
from repaudit.render.table import TableColumn, lay_out
from repaudit.render.terminal import WIDTH
from repaudit.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from repaudit.leaderboard import Leaderboard, Row

_STYLES: Mapping[Standing, str] = MappingProxyType(
    {Standing.BETTER: "green", Standing.WORSE: "bold red", Standing.UNPROVEN: "yellow", Standing.UNPAIRED: "dim"}
)
_MODELS = (
    TableColumn("Model", narrowest=20),
    TableColumn("Better on", narrowest=14),
    TableColumn("Worse on", narrowest=14),
    TableColumn("Not told apart on", narrowest=14),
)
_DIFFERENCES = (
    TableColumn("Metric", narrowest=18),
    TableColumn("Model", narrowest=18),
    TableColumn("Difference", right=True),
    TableColumn("95% interval"),
    TableColumn("Pairs", right=True),
    TableColumn("Told apart"),
)
MOST_PUBLISHED = 12
"""Published rows that a terminal shows without -v."""


def print_leaderboard(board: Leaderboard, console: Console, *, verbose: bool = False) -> None:
    """Prints the whole leaderboard.

    Args:
        board: the models.
        console: such as `console_for()` makes.
        verbose: all published rows instead of the first.
    """
    width = min(WIDTH, console.width)
    _write(console, Text(f"repaudit {safe(board.tool.version)} · {header(board)}", style="bold"), width)
    _print(console, "", lay_out(_MODELS, list(_models(board)), console, width))
    for lines in _values(board, console, width):
        _print(console, "", lines)
    differences = list(_differences(board))
    if differences:
        _print(console, "Differences to the reference", lay_out(_DIFFERENCES, differences, console, width))
    for number_of_block, lines in enumerate(_published(board, console, width, verbose=verbose)):
        _print(console, "" if number_of_block else "Published, not paired", lines)
    console.print()
    console.print(Text("Mind", style="bold"))
    for sentence in [*_hidden(board, verbose=verbose), *remarks(board)]:
        _write(console, Text(f"· {sentence}"), width)
    console.print()
    _write(console, Text.assemble(("Next: ", "bold"), next_step(board)), width)


def _models(board: Leaderboard) -> Iterator[list[Text]]:
    """Win–loss: the metrics on which each is told apart."""
    titles = {column.key: safe(column.title) for column in board.columns}
    for place, row in enumerate(board.rows, start=1):
        name = Text(_named(place, row))
        if row.status != RunStatus.COMPLETE:
            name.append(f" [{safe(row.status)}]", style="bold yellow")
        if row.reference:
            yield [name, Text("reference", style="bold"), Text(), Text()]
        elif row.unpaired is not None:
            yield [name, Text("not paired", style="dim"), Text(), Text()]
        else:
            tally = row.tally
            told = titles_beside(row, titles)
            yield [name, *(Text(listed(keys, told)) for keys in (tally.better, tally.worse, tally.unproven))]


def _values(board: Leaderboard, console: Console, width: int) -> Iterator[list[Text]]:
    """Models down, metrics across, where that fits; else turned; else in blocks with the reference in each."""
    decimals = decimals_of(board)
    grid = Grid(
        "Model",
        [_named(place, row) for place, row in enumerate(board.rows, start=1)],
        [safe(column.title) for column in board.columns],
        [[_value(row, column.key, decimals[column.key]) for column in board.columns] for row in board.rows],
    )
    if grid.fits(width):
        yield grid.lines(console, width)
        return
    reference = [at for at, row in enumerate(board.rows) if row.reference]
    for block in grid.turned("Metric").blocks(width, reference if len(board.rows) > 1 else ()):
        yield block.lines(console, width)


def _value(row: Row, key: str, decimals: int | None) -> Text:
    cell = row.cells[key]
    text = Text(shown(cell, decimals).value)
    if cell.standing is not None and MARKS[cell.standing]:
        text.append(" ").append(MARKS[cell.standing], style=_STYLES[cell.standing])
    return _with_mask(text, row, key) if cell.value is not None else text


def _with_mask(text: Text, row: Row, key: str) -> Text:
    return text.append(" ").append(MASKED, style="bold red") if is_masked(row, key) else text


def _differences(board: Leaderboard) -> Iterator[list[Text]]:
    decimals = decimals_of(board)
    for column in board.columns:
        title = safe(column.title)
        for place, row in enumerate(board.rows, start=1):
            cell = row.cells[column.key]
            if cell.standing is None or row.unpaired is not None:
                continue
            figures = shown(cell, decimals[column.key])
            pairs = "" if cell.difference is None else f"{cell.difference.n:,}"
            texts = (title, _named(place, row), figures.difference or NOTHING, figures.interval, pairs)
            word = Text.assemble((WORDS[cell.standing], _STYLES[cell.standing]))
            yield [*(Text(text) for text in texts), _with_mask(word, row, column.key)]
            title = ""


def _published(board: Leaderboard, console: Console, width: int, *, verbose: bool) -> Iterator[list[Text]]:
    """Printed rows under the columns that are shown, in blocks of metrics."""
    entries = board.published if verbose else board.published[:MOST_PUBLISHED]
    columns = [column for column in board.columns if any(column.key in entry.values for entry in entries)]
    if not columns:
        return
    grid = Grid(
        "Published",
        [safe(entry.name) for entry in entries],
        [safe(column.title) for column in columns],
        [[Text(printed(entry.values, column.key)) for column in columns] for entry in entries],
    )
    for block in grid.blocks(width):
        yield block.lines(console, width)


def _hidden(board: Leaderboard, *, verbose: bool) -> Iterator[str]:
    more = 0 if verbose else len(board.published) - MOST_PUBLISHED
    if more > 0:
        yield f"{more} more published rows with -v and in the files."


def _named(place: int, row: Row) -> str:
    return f"{place} {safe(row.name, 60)}"


def _print(console: Console, heading: str, lines: Sequence[Text]) -> None:
    console.print()
    if heading:
        console.print(Text(heading, style="bold"))
    for line in lines:
        console.print(line, soft_wrap=True)


def _write(console: Console, text: Text, width: int) -> None:
    """Wraps a paragraph; lines after the first are indented."""
    for place, part in enumerate(text.wrap(console, width - 2)):
        part.rstrip()
        console.print(Padding(part, (0, 0, 0, 2 if place else 0), expand=False), soft_wrap=True)
