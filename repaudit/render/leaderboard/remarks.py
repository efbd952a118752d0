"""What a reader of a leaderboard must know beside its numbers, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.finding import Better
from repaudit.leaderboard import Standing
from repaudit.render.plain import safe
from repaudit.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from repaudit.leaderboard import Leaderboard, Row

_NAMED = 4
"""Metrics that one sentence names."""
_NAME = 60
"""Characters of a model's name in a sentence."""


def header(board: Leaderboard) -> str:
    """What stands beside what, on which images."""
    count = len(board.rows)
    return f"{count} models on {board.images_count:,} images of {safe(board.data)}, beside {safe(board.reference)}"


def remarks(board: Leaderboard) -> list[str]:
    """How differences were taken, how many are chance, and what is missing or weak, model by model."""
    titles = {column.key: safe(column.title) for column in board.columns}
    return [
        *_method(board),
        *_values_only(board),
        *(sentence for row in board.rows for sentence in _row(row, titles)),
        *_notes(board),
        *_masking(board),
        *_conventions(board),
        *(safe(note, 400) for note in board.notes),
    ]


def next_step(board: Leaderboard) -> str:
    """What to do now."""
    if not board.false_findings.comparisons:
        return "`scan -o DIR` keeps per-image rows; two such reports on the same images can be compared."
    kept = next((row for row in board.rows if row.reference and row.report_sha256), None)
    reference = "REFERENCE" if kept is None else safe(kept.report)
    command = f"repaudit gate REPORT --baseline {reference} --set 'gates=[worse(top1) <= 0.005 @95%]'"
    keeping = "" if kept else "`-o DIR` keeps the reports; then "
    return f"{keeping}a gate makes a difference count: `{command}`"


def listed(keys: Sequence[str], titles: Mapping[str, str]) -> str:
    """`3: top1, ece, nll`; a dash for none."""
    return f"{len(keys)}: {', '.join(titles[key] for key in keys)}" if keys else "–"


def _method(board: Leaderboard) -> Iterator[str]:
    if board.sort is not None:
        neither = any(column.key == board.sort and column.better is Better.NEITHER for column in board.columns)
        yield f"Sorted by {safe(board.sort)}, {'largest' if neither else 'best'} first."
    found = board.false_findings
    if not found.comparisons:
        return
    yield (
        "Differences are a model's figure minus the reference's, image by image over the images that count in both: "
        "shares by McNemar's test turned into bounds, the rest by a bootstrap of pairs. Their intervals cover the "
        f"drawing of the images only; `~` says that {_doubts(board)}, not that the models are equal."
    )
    alike = "were the two alike, it would" if len(board.rows) == 2 else "were all models alike, they would"
    yield (
        f"{found.comparisons} comparison{'s' if found.comparisons > 1 else ''} at {100 * found.level:.0f} %: "
        f"{alike} still show about {found.expected:.2g} differences by chance."
    )


def _doubts(board: Leaderboard) -> str:
    """Why models of this board are not told apart."""
    unproven = [cell for row in board.rows for cell in row.cells.values() if cell.standing is Standing.UNPROVEN]
    found = [cell.difference for cell in unproven if cell.difference is not None]
    bounds = [(each.low, each.high) for each in found if each.low is not None and each.high is not None]
    said = ["0 lies inside"]
    if any(low > 0 or high < 0 for low, high in bounds):
        said.append("that images without a verdict leave it open")
    if len(bounds) < len(found):
        said.append("that pairs are too few for an interval")
    return " or ".join(said)


def _values_only(board: Leaderboard) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for column in board.columns:
        if column.reason is not None:
            by_reason.setdefault(column.reason, []).append(safe(column.title))
    for reason, titles in by_reason.items():
        yield f"Values only: {_few(titles)}: {safe(reason, 300)}."


def _row(row: Row, titles: Mapping[str, str]) -> Iterator[str]:
    name = safe(row.name, _NAME)
    if row.status != RunStatus.COMPLETE:
        yield f"{name} is {safe(row.status)}: {safe(row.message or 'not all of it was measured', 300)}."
    if row.unpaired is not None:
        yield f"{name} is not paired: {safe(row.unpaired, 400)}."
    by_reason: dict[tuple[str, str], list[str]] = {}
    for key, cell in row.cells.items():
        if cell.reason is not None and cell.reason != row.unpaired:
            word = "not measured" if cell.value is None else str(cell.standing)
            by_reason.setdefault((word, cell.reason), []).append(titles[key])
    for (word, reason), named in by_reason.items():
        yield f"{name}: {_few(named)} {word}: {safe(reason, 400)}."


def _notes(board: Leaderboard) -> Iterator[str]:
    by_note: dict[str, list[str]] = {}
    for row in board.rows:
        for note in row.notes:
            by_note.setdefault(note, []).append(safe(row.name, _NAME))
    for note, names in by_note.items():
        yield f"{_few(names)}: {safe(note, 300)}."


def _masking(board: Leaderboard) -> Iterator[str]:
    """Nobody should believe a robustness figure without this."""
    if not any(column.key.startswith("robustness.") for column in board.columns):
        return
    unchecked = [safe(row.name, _NAME) for row in board.rows if row.masked is None]
    for row in board.rows:
        if row.masked:
            failed = _few([safe(check) for check in row.masked])
            name = safe(row.name, _NAME)
            told = f"{name} fails checks for gradient masking ({failed})"
            yield f"{told}: it may be far less robust than figures marked masked say."
    if all(row.masked == [] for row in board.rows):
        yield "No model fails a check for gradient masking."
    if unchecked:
        yield f"Gradient masking was not checked for {_few(unchecked)}."


def _conventions(board: Leaderboard) -> Iterator[str]:
    """A share under attack says nothing without its radius; one sentence an attack."""
    told = set()
    for column in board.columns:
        family, _, rest = column.key.partition(".")
        attack = rest.partition(".")[0]
        if family == "robustness" and column.note and attack not in told:
            told.add(attack)
            yield f"{safe(column.title)}: {safe(column.note, 300)}."


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
