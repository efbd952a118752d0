"""Numbers of a leaderboard with as many decimals as their intervals can carry, and the words beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.leaderboard import Standing
from repaudit.render.plain import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from repaudit.leaderboard import Cell, Leaderboard, Row

NOTHING = "–"
WORDS: Mapping[Standing, str] = MappingProxyType(
    {
        Standing.BETTER: "better",
        Standing.WORSE: "worse",
        Standing.UNPROVEN: "~ not told apart",
        Standing.UNPAIRED: "not paired",
    }
)
MARKS: Mapping[Standing, str] = MappingProxyType(
    {Standing.BETTER: "better", Standing.WORSE: "worse", Standing.UNPROVEN: "~", Standing.UNPAIRED: ""}
)
"""The words where there is little room."""
MASKED = "masked"
"""Beside every figure that masked gradients may feign, so that `better` is never read without it."""
_MOST = 6


@dataclass(frozen=True, slots=True)
class Shown:
    """One cell in text; what there is none of is empty."""

    value: str
    difference: str
    """Signed."""
    interval: str
    """Of the difference, at 95 %."""


def shown(cell: Cell, decimals: int | None) -> Shown:
    """A cell's numbers.

    Args:
        cell: of one metric.
        decimals: what all models' numbers of that metric are rounded to; None for three digits that count.
    """
    value = NOTHING if cell.value is None else _plain(cell.value, decimals)
    difference = cell.difference
    if difference is None:
        return Shown(value, "", "")
    bounds = [] if difference.low is None or difference.high is None else [difference.low, difference.high]
    return Shown(value, _signed(difference.value, decimals), " – ".join(_signed(bound, decimals) for bound in bounds))


def is_masked(row: Row, key: str) -> bool:
    """Whether a figure is of robustness, and the model fails checks for gradient masking."""
    return bool(row.masked) and key.startswith("robustness.")


def titles_beside(row: Row, titles: Mapping[str, str]) -> dict[str, str]:
    """Titles of columns by key, as they are told of one model: `fgsm.asr (masked)`."""
    return {key: f"{title} ({MASKED})" if is_masked(row, key) else title for key, title in titles.items()}


def printed(values: Mapping[str, float], key: str) -> str:
    """A published figure with the digits that were printed."""
    return f"{values[key]:.10g}" if key in values else NOTHING


def decimals_of(board: Leaderboard) -> dict[str, int | None]:
    """By metric: all models of one metric get as many, so that they can be read down a column."""
    return {
        column.key: _decimals(min(_widths([row.cells[column.key] for row in board.rows]), default=0.0))
        for column in board.columns
    }


def _widths(cells: list[Cell]) -> Iterator[float]:
    """Of all intervals that have a width."""
    for cell in cells:
        for bounded in (cell, cell.difference):
            if bounded is not None and bounded.low is not None and bounded.high is not None:
                width = bounded.high - bounded.low
                if width > 0:
                    yield width


def _decimals(width: float) -> int | None:
    if not 10.0 ** (1 - _MOST) <= width < 1e6:
        return None
    return max(0, 1 - math.floor(math.log10(width)))


def _plain(value: float, decimals: int | None) -> str:
    return number(value) if decimals is None else f"{value:,.{decimals}f}"


def _signed(value: float, decimals: int | None) -> str:
    """With its sign; what rounds to 0 has none."""
    text = _plain(abs(value), decimals)
    return text if not text.strip("0.,") else f"{'-' if value < 0 else '+'}{text}"
