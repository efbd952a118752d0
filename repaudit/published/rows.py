"""Printed rows, those of one network, training and data set together."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.published.tables import TABLES, Paper, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = Path(__file__).parent
SLIPS = "slips"
_SOURCES: Mapping[Paper, str] = MappingProxyType({Paper.RS: "RS (arXiv 2410.03999)", Paper.VS: "VS (AAAI 2025)"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One network as a paper printed it."""

    paper: Paper
    tables: tuple[str, ...]
    """Numbers of the tables that it comes from."""
    model: str | None
    """As printed; None where the table does not say."""
    method: str
    """How it was trained."""
    data: str
    """Which images."""
    values: Mapping[str, float]
    """By metric key; fractions run from 0 to 1."""
    missing: Mapping[str, str]
    """Why a printed figure is not used, by metric key."""

    @property
    def name(self) -> str:
        """Such as `ResNet50, Mixup, ImageNet`."""
        return ", ".join((self.model or "network not given", self.method, self.data))


def rows(paper: Paper) -> tuple[PublishedRow, ...]:
    """All that a paper printed in the metrics of this program, in the order of its tables."""
    slips = _slips()
    merged: dict[tuple[str | None, str, str], PublishedRow] = {}
    for table in TABLES:
        if table.paper is not paper:
            continue
        for printed in _read(table.file):
            row = _row(table, printed, slips)
            place = (row.model, row.method, row.data)
            merged[place] = _joined(merged[place], row) if place in merged else row
    return tuple(merged.values())


def conventions(paper: Paper) -> tuple[str, ...]:
    """How the figures of each table were measured, one sentence a table."""
    told: dict[str, list[str]] = {}
    for table in TABLES:
        if table.paper is paper:
            told.setdefault(table.convention, []).append(table.number)
    return tuple(
        f"{_SOURCES[paper]}, Table{'s' if len(numbers) > 1 or ',' in numbers[0] else ''} {', '.join(numbers)}: {text}."
        for text, numbers in told.items()
    )


def _row(table: Table, printed: Mapping[str, str], slips: Mapping[tuple[str, str, str], str]) -> PublishedRow:
    place = " / ".join(printed[label] for label in table.labels)
    return PublishedRow(
        paper=table.paper,
        tables=(table.number,),
        model=printed.get("model"),
        method=table.method or _method(printed),
        data=table.data or printed.get("data") or printed["dataset"],
        values={
            column.key: float(Decimal(printed[column.name]) / (100 if column.percent else 1))
            for column in table.columns
            if printed[column.name]
        },
        missing={
            column.key: slips[table.file, place, column.name] for column in table.columns if not printed[column.name]
        },
    )


def _method(printed: Mapping[str, str]) -> str:
    alpha = printed.get("alpha")
    return printed.get("method") or printed["label"] + (f" α = {alpha}" if alpha else "")


def _joined(one: PublishedRow, other: PublishedRow) -> PublishedRow:
    return PublishedRow(
        paper=one.paper,
        tables=one.tables + other.tables,
        model=one.model,
        method=one.method,
        data=one.data,
        values={**one.values, **{key: value for key, value in other.values.items() if key not in one.values}},
        missing={**one.missing, **other.missing},
    )


@cache
def _slips() -> Mapping[tuple[str, str, str], str]:
    return {(slip["file"], slip["row"], slip["column"]): slip["reason"] for slip in _read(SLIPS)}


def _read(name: str) -> list[dict[str, str]]:
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
