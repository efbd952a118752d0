"""Makes the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit import __version__
from repaudit.errors import InvalidReport, UsageError
from repaudit.leaderboard.beside import printed_beside
from repaudit.leaderboard.columns import chosen_keys, columns_of, full_key, order
from repaudit.leaderboard.entrants import differing_data, open_entrant, told_apart
from repaudit.leaderboard.sections import FalseFindings, Leaderboard, Row
from repaudit.leaderboard.standings import LEVEL, cell_of, no_pairs, obstacles, tally_of
from repaudit.progress import SilentProgress
from repaudit.report import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from repaudit.leaderboard.entrants import Entrant
    from repaudit.leaderboard.sections import Column
    from repaudit.progress import Progress
    from repaudit.published import Paper
    from repaudit.report import Report

WATCHED_FROM = 10_000
"""Images; with fewer a model takes less than a second."""
_BATTERY = "masking.battery"
_REMEDY = "--allow-different-data puts values side by side and pairs nothing of these, or scan them on the same images"


def leaderboard(
    paths: Sequence[Path],
    *,
    metrics: Sequence[str] = (),
    sort: str | None = None,
    published: Paper | None = None,
    allow_different_data: bool = False,
    everything: bool = False,
    progress: Progress | None = None,
) -> Leaderboard:
    """Saved reports side by side, the first as the reference.

    Args:
        paths: of JSON reports, or of their folders.
        metrics: names of the columns; none means the headlines.
        sort: a metric that orders the rows, best first, or largest first where neither direction is better.
        published: whose printed figures stand beside.
        allow_different_data: show what cannot be compared instead of refusing it.
        everything: every metric that any report has.
        progress: where stages go, one a model, where there are many images; nowhere by default.

    Raises:
        UsageError: fewer than two reports, or a name that means no metric or several.
        InvalidReport: a report cannot be read, or cannot be compared with the first.
    """
    if len(paths) < 2:
        given = str(paths[0]) if paths else "REPORT"
        raise UsageError(
            f"a comparison needs two reports, and {len(paths)} {'was' if len(paths) == 1 else 'were'} given",
            remedy=f"repaudit compare {given} OTHER…   (or: repaudit report {given})",
        )
    return board_of(
        [open_entrant(path) for path in paths],
        metrics=metrics,
        sort=sort,
        published=published,
        allow_different_data=allow_different_data,
        everything=everything,
        progress=progress,
    )


def board_of(
    entrants: Sequence[Entrant],
    *,
    metrics: Sequence[str] = (),
    sort: str | None = None,
    published: Paper | None = None,
    allow_different_data: bool = False,
    everything: bool = False,
    progress: Progress | None = None,
) -> Leaderboard:
    """Reports side by side that are open already; arguments and errors as for `leaderboard`."""
    names, different = told_apart(entrants), differing_data(entrants)
    if different and not allow_different_data:
        raise _incomparable({names[place]: differences for place, differences in different.items()})
    beside = printed_beside(published, [entrant.report.model.architecture for entrant in entrants])
    keys = chosen_keys(entrants, metrics=metrics, sort=sort, published=beside.keys, everything=everything)
    columns = columns_of(keys, entrants)
    asked = _asked_otherwise(columns, entrants, names, different, allow=allow_different_data)
    rows = [
        _row(name, columns, entrant, _Beside(entrants[0], different.get(place, ()), asked[place]), progress)
        for place, (name, entrant) in enumerate(zip(names, entrants, strict=True))
    ]
    key = None if sort is None else full_key(sort, keys, "--sort")
    if key is not None:
        better = next(column.better for column in columns if column.key == key)
        rows = [rows[at] for at in order([row.cells[key].value for row in rows], better)]
    data = entrants[0].report.data
    return Leaderboard(
        tool=Tool(version=__version__),
        reference=names[0],
        data=data.ref if data.subset == "all" else f"{data.ref} ({data.subset})",
        images_count=data.images_count,
        fingerprint=data.fingerprint,
        sort=key,
        columns=columns,
        rows=rows,
        false_findings=_false_findings(rows),
        published=list(beside.entries),
        notes=list(beside.notes),
    )


def _asked_otherwise(
    columns: Sequence[Column],
    entrants: Sequence[Entrant],
    names: Sequence[str],
    different: dict[int, list[str]],
    *,
    allow: bool,
) -> list[dict[str, list[str]]]:
    """How the audits were asked otherwise than the reference's, by place and key.

    Raises:
        InvalidReport: of a report that could be paired, nothing is left to pair.
    """
    paired = [column.key for column in columns if column.paired]
    found = [obstacles(paired, entrant, entrants[0]) for entrant in entrants]
    hopeless = {
        names[place]: list(dict.fromkeys(line for lines in by_key.values() for line in lines))
        for place, by_key in enumerate(found)
        if by_key and all(by_key.values()) and no_pairs(entrants[place], entrants[0], different.get(place, ())) is None
    }
    if hopeless and not allow:
        raise _incomparable(hopeless)
    return found


@dataclass(frozen=True, slots=True)
class _Beside:
    """What a model stands beside."""

    reference: Entrant
    different: Sequence[str]
    """How its images differ."""
    asked: Mapping[str, Sequence[str]]
    """How audits were asked otherwise, by metric."""


def _row(name: str, columns: Sequence[Column], entrant: Entrant, beside: _Beside, progress: Progress | None) -> Row:
    report, reference = entrant.report, beside.reference
    blocked = no_pairs(entrant, reference, beside.different)
    quick = entrant is reference or report.data.images_count < WATCHED_FROM
    watched = SilentProgress() if progress is None or quick else progress
    cells = {}
    with watched.stage(f"comparing {name}", len(columns), "metrics") as stage:
        for column in columns:
            cells[column.key] = cell_of(column, entrant, reference, blocked, beside.asked.get(column.key, ()))
            stage.advance(1)
    return Row(
        name=name,
        model=report.model.resolved,
        architecture=report.model.architecture,
        weights_sha256=report.model.weights_sha256,
        report=entrant.file,
        report_sha256=entrant.sha256,
        reference=entrant is reference,
        status=report.run.status,
        message=report.run.message,
        unpaired=None if entrant is reference else blocked,
        notes=[] if entrant is reference else _notes(report, reference.report),
        masked=_masked(report),
        tally=tally_of(cells),
        cells=cells,
    )


def _notes(report: Report, reference: Report) -> list[str]:
    mine, theirs = report.model, reference.model
    return [
        text
        for text, holds in (
            ("the same weights as the reference", mine.weights_sha256 == theirs.weights_sha256),
            ("preprocessed otherwise than the reference", mine.preprocess != theirs.preprocess),
            (f"measured by repaudit {report.tool.version}", report.tool.version != reference.tool.version),
        )
        if holds
    ]


def _masked(report: Report) -> list[str] | None:
    checks = {name: check for name, check in report.figures.get(_BATTERY, {}).items() if isinstance(check, dict)}
    return [name for name, check in checks.items() if check.get("verdict") == "failed"] if checks else None


def _false_findings(rows: Sequence[Row]) -> FalseFindings:
    found = [cell.difference for row in rows for cell in row.cells.values()]
    count = sum(difference is not None and difference.low is not None for difference in found)
    return FalseFindings(comparisons=count, level=LEVEL, expected=round(count * (1 - LEVEL), 10))


def _incomparable(differences: dict[str, list[str]]) -> InvalidReport:
    lines = [f"{name}: {line}" for name, found in differences.items() for line in found]
    return InvalidReport(
        f"{len(differences)} of the reports cannot be compared with the first", detail="\n".join(lines), remedy=_REMEDY
    )
