"""One row a model and metric, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from repaudit.render.csv import cell_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.leaderboard import Cell, Leaderboard

COLUMNS = (
    "model", "report", "role", "metric", "value", "low", "high", "unit", "better", "n",
    "difference", "difference_low", "difference_high", "pairs", "standing", "reason",
)  # fmt: skip


def to_csv(board: Leaderboard) -> str:
    """Every metric of every model, then what the papers printed; RFC 4180, lines end in CR LF.

    `role` is reference, compared or published. Numbers read back to the last bit. A text that a spreadsheet would take
    for a formula gets an apostrophe before it.
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    writer.writerows(_measured(board))
    writer.writerows(_published(board))
    return stream.getvalue()


def _measured(board: Leaderboard) -> Iterator[tuple[object, ...]]:
    for row in board.rows:
        who = (cell_text(row.name), cell_text(row.report), "reference" if row.reference else "compared")
        for column in board.columns:
            cell = row.cells[column.key]
            what = (cell_text(column.unit), str(column.better), cell.n)
            reason = cell.reason or ("" if row.reference else column.reason) or ""
            standing = "" if cell.standing is None else str(cell.standing)
            values = (cell.value, cell.low, cell.high)
            yield (*who, cell_text(column.key), *values, *what, *_difference(cell), standing, cell_text(reason))


def _difference(cell: Cell) -> tuple[float | None, float | None, float | None, int | None]:
    found = cell.difference
    return (None, None, None, None) if found is None else (found.value, found.low, found.high, found.n)


def _published(board: Leaderboard) -> Iterator[tuple[object, ...]]:
    """Every printed figure; one that is not used has an empty value and the reason."""
    units = {column.key: (cell_text(column.unit), str(column.better)) for column in board.columns}
    for entry in board.published:
        who = (cell_text(entry.name), cell_text(f"{entry.paper}, Table {', '.join(entry.tables)}"), "published")
        for key in [*entry.values, *entry.missing]:
            what = units.get(key, ("", ""))
            reason = cell_text(entry.missing.get(key, ""))
            yield (*who, cell_text(key), entry.values.get(key), "", "", *what, *[""] * 6, reason)
