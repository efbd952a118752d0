"""The leaderboard as Markdown: for a step summary, a comment on a merge request, or a model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.leaderboard import Standing
from repaudit.render.leaderboard.figures import MASKED, WORDS, decimals_of, is_masked, printed, shown, titles_beside
from repaudit.render.leaderboard.remarks import header, listed, next_step, remarks
from repaudit.render.markdown_text import code, prose
from repaudit.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.leaderboard import Leaderboard, Row

MARK = "<!-- repaudit comparison -->"
"""First line of every file, by which repaudit knows its own."""
_LONGEST = 2000


def to_markdown(board: Leaderboard) -> str:
    """Who is told apart, the values with their differences, the papers' rows, and what to mind."""
    sections = (
        MARK,
        f"## repaudit: {len(board.rows)} models side by side",
        prose(header(board), _LONGEST) + ".",
        _table(("Model", "Better on", "Worse on", "Not told apart on"), list(_models(board))),
        _values(board),
        _published(board),
        "### Mind",
        "\n".join(f"- {prose(sentence, _LONGEST)}" for sentence in remarks(board)),
        f"**Next:** {prose(next_step(board), _LONGEST)}",
        f"repaudit {code(board.tool.version)} · images {code(board.fingerprint)}",
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _models(board: Leaderboard) -> Iterator[tuple[str, ...]]:
    titles = {column.key: column.title for column in board.columns}
    for row in board.rows:
        name = code(row.name) + ("" if row.status == RunStatus.COMPLETE else f" **{prose(row.status)}**")
        if row.reference or row.unpaired is not None:
            yield name, "**reference**" if row.reference else "not paired", "", ""
        else:
            tally = row.tally
            named = titles_beside(row, titles)
            told = (listed(keys, named) for keys in (tally.better, tally.worse, tally.unproven))
            yield (name, *(prose(text, _LONGEST) for text in told))


def _values(board: Leaderboard) -> str:
    """Metrics down, models across: names of metrics are long, and models few."""
    decimals = decimals_of(board)
    rows = [
        (code(column.title), *(_cell(row, column.key, decimals[column.key]) for row in board.rows))
        for column in board.columns
    ]
    return _table(("Metric", *(_head(row) for row in board.rows)), rows)


def _head(row: Row) -> str:
    return f"{code(row.name)} (reference)" if row.reference else code(row.name)


def _cell(row: Row, key: str, decimals: int | None) -> str:
    cell = row.cells[key]
    figures = shown(cell, decimals)
    told = "" if cell.standing is None else f" {_word(cell.standing)}"
    if cell.value is not None and is_masked(row, key):
        told += f" **{MASKED}**"
    if not figures.difference:
        return figures.value + told
    interval = f" ({figures.interval})" if figures.interval else ""
    return f"{figures.value}{told}<br>{figures.difference}{interval}"


def _word(standing: Standing) -> str:
    word = WORDS[standing]
    return f"**{word}**" if standing in {Standing.BETTER, Standing.WORSE} else word


def _published(board: Leaderboard) -> str:
    columns = [column for column in board.columns if any(column.key in entry.values for entry in board.published)]
    if not columns:
        return ""
    rows = [
        (prose(entry.name), *(printed(entry.values, column.key) for column in columns)) for entry in board.published
    ]
    return "### Published, not paired\n\n" + _table(("Published", *(code(column.title) for column in columns)), rows)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
