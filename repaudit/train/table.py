"""What came of a matrix: each method's mean over its seeds, and what tells it from one-hot labels."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from repaudit.train.method import ONE_HOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.report import Report
    from repaudit.train.runs import Run

LAYOUT = (
    "accuracy.top1",
    "calibration.ece",
    "calibration.signed_gap",
    "calibration.nll",
    "geometry.rms",
    "geometry.cosine.minimum_loss",
    "robustness.*.asr",
)
"""Columns of RS, Table 2, with the sign of miscalibration and the likelihood beside its ECE."""
UNION = "robustness.worst.asr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One metric of one method over its seeds."""

    mean: float | None
    """None where no run measured it."""
    sd: float | None
    """Over seeds, with n − 1; None for one run."""
    n: int
    """Runs that measured it."""
    difference: float | None = None
    """Mean of (this method − one-hot) over the seeds that both have; None in one-hot's row."""
    t: float | None = None
    """Of the paired test over seeds, n − 1 degrees of freedom."""
    p: float | None = None
    """Two-sided, not adjusted for the number of tests."""
    pairs: int = 0
    reason: str | None = None
    """Why there is no test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method, at one value of a grid where there is one."""

    name: str
    method: str
    alpha: float | None
    """Of a grid."""
    virtual: int | None
    """V of a grid."""
    runs: int
    chosen: bool
    """In a grid: the mass with the best accuracy on images kept back from training; elsewhere always."""
    held_out_accuracy: float | None
    """Mean over seeds; None without such images."""
    cells: Mapping[str, Cell]
    """By metric key, one for every column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A matrix as `table.json` keeps it."""

    recipe: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """Strict JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """One line a method and metric."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        titles = ("mean", "sd", "n", "difference", "t", "p", "pairs", "reason")
        writer.writerow(("method", "alpha", "virtual", "chosen", "metric", *titles))
        for row in self.rows:
            for key, cell in row.cells.items():
                values = [getattr(cell, title) for title in titles]
                told = (row.alpha, row.virtual, row.chosen, key, *values)
                shown = ["" if value is None else value for value in told]
                writer.writerow([row.method, *shown])
        return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run."""

    run: Run
    report: Report
    held_out_accuracy: float | None


class _Group(NamedTuple):
    """Runs that differ in nothing but their seed."""

    method: str
    alpha: float | None = None
    virtual: int | None = None

    @property
    def name(self) -> str:
        mass = "" if self.alpha is None else f" α={self.alpha:g}"
        return self.method + mass + ("" if self.virtual is None else f" V={self.virtual}")


def table_of(recipe: str, results: Sequence[Result]) -> Table:
    """Means, standard deviations and paired tests over seeds.

    Args:
        recipe: its name.
        results: of all runs that are finished, in the order of the matrix.
    """
    columns = _columns(results)
    groups: dict[_Group, list[Result]] = {}
    for result in results:
        run = result.run
        groups.setdefault(_Group(run.method.name, run.alpha, run.virtual), []).append(result)
    held_out = {group: _held_out(members) for group, members in groups.items()}
    reference = groups.get(_Group(ONE_HOT), [])
    rows = [
        Row(
            name=group.name,
            method=group.method,
            alpha=group.alpha,
            virtual=group.virtual,
            runs=len(members),
            chosen=_is_chosen(group, held_out),
            held_out_accuracy=held_out[group],
            cells={key: _cell(key, members, reference) for key in columns},
        )
        for group, members in groups.items()
    ]
    return Table(recipe=recipe, columns=columns, rows=tuple(rows))


def _columns(results: Sequence[Result]) -> tuple[str, ...]:
    known = dict.fromkeys(key for result in results for key in result.report.metrics)
    return tuple(key for pattern in LAYOUT for key in known if fnmatchcase(key, pattern) and key != UNION)


def _held_out(members: Sequence[Result]) -> float | None:
    known = [result.held_out_accuracy for result in members if result.held_out_accuracy is not None]
    return float(np.mean(known)) if known else None


def _is_chosen(group: _Group, held_out: Mapping[_Group, float | None]) -> bool:
    if group.alpha is None:
        return True
    rivals = {other: found for other, found in held_out.items() if other.method == group.method and found is not None}
    return bool(rivals) and max(rivals, key=lambda other: rivals[other]) == group


def _cell(key: str, members: Sequence[Result], reference: Sequence[Result]) -> Cell:
    values = {each.run.seed: each.report.metrics[key].value for each in members if key in each.report.metrics}
    if not values:
        return Cell(mean=None, sd=None, n=0, reason="not measured")
    drawn = np.array(list(values.values()))
    mean, sd = float(drawn.mean()), float(drawn.std(ddof=1)) if len(drawn) > 1 else None
    if members is reference:
        return Cell(mean=mean, sd=sd, n=len(drawn))
    beside = {each.run.seed: each.report.metrics[key].value for each in reference if key in each.report.metrics}
    pairs = np.array([values[seed] - beside[seed] for seed in values if seed in beside])
    difference = float(pairs.mean()) if len(pairs) else None
    found = Cell(mean=mean, sd=sd, n=len(drawn), difference=difference, pairs=len(pairs))
    if difference is None or len(pairs) < 2:
        reason = "no run with one-hot labels" if not beside else "fewer than two seeds in common with one-hot labels"
        return replace(found, reason=reason)
    spread = float(pairs.std(ddof=1))
    if spread == 0:
        return replace(found, reason="the difference is the same for every seed")
    t = difference / (spread / len(pairs) ** 0.5)
    return replace(found, t=t, p=_two_sided(t, len(pairs) - 1))


def _two_sided(t: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))
