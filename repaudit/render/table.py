"""Columns of text without boxes, and without blanks at the ends of lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

GAP = "  "
_SEGMENT = re.compile(r"(?:[^\s._/:]|(?<=\d)[._/:](?=\d))*[._/:]*\s*")
"""What a line may end with: a part of a dotted name, or a word; numbers stay whole."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """How one column is set."""

    title: str
    right: bool = False
    """Numbers stand on the right."""
    narrowest: int | None = None
    """Down to this many characters it is folded before columns that have None."""


def lay_out(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[Text] | Text], console: Console, width: int
) -> list[Text]:
    """Lines of at most `width` characters; nothing is cut.

    Cells are folded between words and between the parts of dotted names. Where that is not enough, a row becomes a
    paragraph in which each value follows its column's title.

    Args:
        columns: one a cell.
        rows: cells, as many as columns; or a remark over the whole width.
        console: which wraps remarks.
        width: of the whole table.

    Returns:
        The titles, a rule and the rows.
    """
    titles = [Text(column.title, style="bold") for column in columns]
    table = [titles, *(row for row in rows if not isinstance(row, Text))]
    widths = _widths(columns, table, width - len(GAP) * (len(columns) - 1))
    if widths is None:
        return [line for row in rows for line in _paragraph(columns, row, console, width)]
    lines = _row(columns, titles, widths)
    lines.append(Text("─" * (sum(widths) + len(GAP) * (len(columns) - 1)), style="dim"))
    for row in rows:
        lines += _remark(row, console, width) if isinstance(row, Text) else _row(columns, row, widths)
    return lines


def _paragraph(columns: Sequence[TableColumn], row: Sequence[Text] | Text, console: Console, width: int) -> list[Text]:
    return _remark(row, console, width) if isinstance(row, Text) else _stacked(columns, row, width)


def _remark(text: Text, console: Console, width: int) -> list[Text]:
    """Wrapped; lines after the first are indented."""
    lines = list(text.wrap(console, width - len(GAP)))
    for line in lines[1:]:
        line.pad_left(len(GAP))
    for line in lines:
        line.rstrip()
    return lines


def _widths(columns: Sequence[TableColumn], table: Sequence[Sequence[Text]], available: int) -> list[int] | None:
    """Of each column, so that the table fits and no segment is broken; None where there are none."""
    cells_of = list(zip(*table, strict=True))
    widths = [max(cell.cell_len for cell in cells) for cells in cells_of]
    least = [max(_longest(cell.plain) for cell in cells) for cells in cells_of]
    gently = [
        wide if column.narrowest is None else max(column.narrowest, segment)
        for column, wide, segment in zip(columns, widths, least, strict=True)
    ]
    for floors in (gently, least):
        _shrink(widths, floors, available)
    if sum(widths) > available:
        return None
    return [
        max(part.cell_len for cell in cells for part in folded(cell, wide))
        for cells, wide in zip(cells_of, widths, strict=True)
    ]


def _shrink(widths: list[int], floors: Sequence[int], available: int) -> None:
    """Takes what is too much from the widest column above its floor, until it fits."""
    while sum(widths) > available:
        wider = [(wide, at) for at, wide in enumerate(widths) if wide > floors[at]]
        if not wider:
            return
        widths[max(wider)[1]] -= 1


def _longest(text: str) -> int:
    return max(cell_len(text[start:end].rstrip()) for start, end in _segments(text))


def _segments(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _SEGMENT.finditer(text) if match[0]] or [(0, 0)]


def folded(cell: Text, wide: int) -> list[Text]:
    """Lines of at most `wide` columns; a segment is broken only where it is wider itself."""
    text, cuts, begun = cell.plain, [0], 0
    for start, end in _segments(text):
        if cell_len(text[begun:end].rstrip()) <= wide:
            continue
        if start > begun:
            begun = start
            cuts.append(start)
        for at in range(start, end):
            if at > begun and cell_len(text[begun : at + 1].rstrip()) > wide:
                begun = at
                cuts.append(at)
    parts = list(cell.divide(cuts[1:]))
    for part in parts:
        part.rstrip()
    return parts


def _stacked(columns: Sequence[TableColumn], cells: Sequence[Text], width: int) -> list[Text]:
    """A row as a paragraph: its names, then each value that there is after its column's title."""
    names = next((at for at, column in enumerate(columns) if column.right), 1)
    parts = [Text(GAP).join(cell for cell in cells[:names] if cell.plain)]
    for column, cell in zip(columns[names:], cells[names:], strict=True):
        if cell.plain:
            parts.append(Text.assemble((column.title, "dim"), " ", cell))
    lines = folded(Text(", ").join(part for part in parts if part.plain), width - len(GAP))
    for line in lines if not cells[0].plain else lines[1:]:
        line.pad_left(len(GAP))
    return lines


def _row(columns: Sequence[TableColumn], cells: Sequence[Text], widths: Sequence[int]) -> list[Text]:
    parts_of = [folded(cell, wide) for cell, wide in zip(cells, widths, strict=True)]
    lines = []
    for depth in range(max(len(parts) for parts in parts_of)):
        line = Text()
        for column, parts, wide in zip(columns, parts_of, widths, strict=True):
            part = parts[depth] if depth < len(parts) else Text()
            blanks = " " * (wide - part.cell_len)
            line.append(GAP if column is not columns[0] else "")
            line.append_text(Text(blanks) + part if column.right else part + Text(blanks))
        line.rstrip()
        lines.append(line)
    return lines
