"""The leaderboard as one HTML file that needs nothing else."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.leaderboard import Standing
from repaudit.render.leaderboard.figures import (
    MARKS,
    MASKED,
    WORDS,
    decimals_of,
    is_masked,
    printed,
    shown,
    titles_beside,
)
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
_BETTER: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"higher": ("↑", "higher is better"), "lower": ("↓", "lower is better")}
)
FEW = 8
"""So many models stand side by side in a window; more of them, or so few metrics, are rows that can be sorted."""


def to_html(board: Leaderboard) -> str:
    """A page with the models, their values and differences, the papers' rows, and what to mind.

    Few models are columns beside many metrics; else models are rows that can be sorted by any metric.
    """
    decimals = decimals_of(board)
    columns = [column for column in board.columns if any(column.key in entry.values for entry in board.published)]
    body = rendered(
        "leaderboard.html",
        models=_models(board),
        turned=len(board.rows) <= FEW < len(board.columns),
        heads=[_head(column) for column in board.columns],
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
    return page(f"{len(board.rows)} models side by side", body, summary=f"{header(board)}.", wide=True)


def _head(column: Column) -> Mapping[str, str]:
    arrow, better = _BETTER.get(column.better, ("", "describes the model"))
    return {"title": column.title, "key": column.key, "arrow": arrow, "better": better}


def _models(board: Leaderboard) -> Sequence[Mapping[str, object]]:
    titles = {column.key: column.title for column in board.columns}
    return [
        {
            "name": safe(row.name),
            "status": "" if row.status == RunStatus.COMPLETE else str(row.status),
            "reference": row.reference,
            "paired": row.unpaired is None,
            "tally": [
                {"on": on, "count": len(keys), "named": ", ".join(titles_beside(row, titles)[key] for key in keys)}
                for on, keys in (
                    ("better on", row.tally.better),
                    ("worse on", row.tally.worse),
                    ("not told apart on", row.tally.unproven),
                )
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
        "mark": "" if cell.standing is None else MARKS[cell.standing],
        "word": "" if cell.standing is None else WORDS[cell.standing],
        "masked": MASKED if cell.value is not None and is_masked(row, key) else "",
        "style": "" if cell.standing is None else _CLASSES[cell.standing],
    }


def _printed(values: Mapping[str, float], column: Column) -> Mapping[str, str]:
    exact = repr(values[column.key]) if column.key in values else ""
    return {"value": printed(values, column.key), "exact": exact}
