"""The leaderboard as one HTML file that needs nothing else."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.leaderboard import Standing
from repaudit.render.leaderboard.figures import MASKED, WORDS, decimals_of, is_masked, printed, shown, titles_beside
from repaudit.render.leaderboard.remarks import header, next_step, remarks
from repaudit.render.page import page, rendered
from repaudit.render.plain import safe
from repaudit.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.leaderboard import Column, Leaderboard, Row

_CLASSES: Mapping[Standing, str] = MappingProxyType(
    {Standing.BETTER: "good", Standing.WORSE: "bad", Standing.UNPROVEN: "warn", Standing.UNPAIRED: "muted"}
)
_BETTER: Mapping[str, str] = MappingProxyType({"higher": "higher is better", "lower": "lower is better"})


def to_html(board: Leaderboard) -> str:
    """A page with the models, a table that can be sorted by any metric, the papers' rows, and what to mind."""
    decimals = decimals_of(board)
    columns = [column for column in board.columns if any(column.key in entry.values for entry in board.published)]
    body = rendered(
        "leaderboard.html",
        models=_models(board),
        heads=[
            {"title": column.title, "key": column.key, "better": _BETTER.get(column.better, "describes the model")}
            for column in board.columns
        ],
        rows=[
            {
                "name": safe(row.name),
                "reference": row.reference,
                "cells": [_cell(row, column.key, decimals[column.key]) for column in board.columns],
            }
            for row in board.rows
        ],
        printed_heads=[column.title for column in columns],
        printed_rows=[
            {"name": entry.name, "cells": [_printed(entry.values, column) for column in columns]}
            for entry in board.published
        ],
        remarks=remarks(board),
        next_step=next_step(board),
    )
    return page(f"{len(board.rows)} models side by side", body, summary=f"{header(board)}.")


def _models(board: Leaderboard) -> Sequence[Mapping[str, object]]:
    titles = {column.key: column.title for column in board.columns}
    return [
        {
            "name": safe(row.name),
            "status": "" if row.status == RunStatus.COMPLETE else str(row.status),
            "reference": row.reference,
            "paired": row.unpaired is None,
            "tally": [
                {"count": len(keys), "named": ", ".join(titles_beside(row, titles)[key] for key in keys)}
                for keys in (row.tally.better, row.tally.worse, row.tally.unproven)
            ],
        }
        for row in board.rows
    ]


def _cell(row: Row, key: str, decimals: int | None) -> Mapping[str, object]:
    cell = row.cells[key]
    figures = shown(cell, decimals)
    return {
        "value": figures.value,
        "exact": "" if cell.value is None else repr(cell.value),
        "difference": figures.difference,
        "interval": figures.interval,
        "word": "" if cell.standing is None else WORDS[cell.standing],
        "masked": MASKED if cell.value is not None and is_masked(row, key) else "",
        "style": "" if cell.standing is None else _CLASSES[cell.standing],
    }


def _printed(values: Mapping[str, float], column: Column) -> Mapping[str, str]:
    exact = repr(values[column.key]) if column.key in values else ""
    return {"value": printed(values, column.key), "exact": exact}
