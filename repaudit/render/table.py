"""Columns of text without boxes, and without blanks at the ends of lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

GAP = "  "


@dataclass(frozen=True, slots=True)
class TableColumn:
    """How one column is set."""

    title: str
    right: bool = False
    """Numbers stand on the right."""
    narrowest: int | None = None
    """Down to this many characters it may be folded; None is never folded."""


def lay_out(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[Text] | Text], console: Console, width: int
) -> list[Text]:
    """Lines of at most `width` characters where folding allows; nothing is cut.

    Args:
        columns: one a cell.
        rows: cells, as many as columns; or a remark over the whole width.
        console: which folds text.
        width: of the whole table.

    Returns:
        The titles, a rule and the rows.
    """
    titles = [Text(column.title, style="bold") for column in columns]
    cells_of = [row for row in rows if not isinstance(row, Text)]
    widths = [max(cell.cell_len for cell in cells) for cells in zip(titles, *cells_of, strict=True)]
    _fold(columns, widths, width - len(GAP) * (len(columns) - 1))
    lines = _row(columns, titles, widths, console)
    lines.append(Text("─" * (sum(widths) + len(GAP) * (len(columns) - 1)), style="dim"))
    for row in rows:
        lines += _remark(row, console, width) if isinstance(row, Text) else _row(columns, row, widths, console)
    return lines


def _remark(text: Text, console: Console, width: int) -> list[Text]:
    """Wrapped; lines after the first are indented."""
    lines = list(text.wrap(console, width - len(GAP)))
    for line in lines[1:]:
        line.pad_left(len(GAP))
    for line in lines:
        line.rstrip()
    return lines


def _fold(columns: Sequence[TableColumn], widths: list[int], available: int) -> None:
    """Takes what is too much from the widest column that may be folded, until it fits."""
    while sum(widths) > available:
        foldable = [
            (widths[at], at)
            for at, column in enumerate(columns)
            if column.narrowest is not None and widths[at] > column.narrowest
        ]
        if not foldable:
            return
        widths[max(foldable)[1]] -= 1


def _row(columns: Sequence[TableColumn], cells: Sequence[Text], widths: list[int], console: Console) -> list[Text]:
    folded = [
        list(cell.wrap(console, wide, overflow="fold")) or [Text()] for cell, wide in zip(cells, widths, strict=True)
    ]
    lines = []
    for depth in range(max(len(parts) for parts in folded)):
        line = Text()
        for column, parts, wide in zip(columns, folded, widths, strict=True):
            part = parts[depth] if depth < len(parts) else Text()
            part.rstrip()
            blanks = " " * (wide - part.cell_len)
            line.append(GAP if column is not columns[0] else "")
            line.append_text(Text(blanks) + part if column.right else part + Text(blanks))
        line.rstrip()
        lines.append(line)
    return lines
