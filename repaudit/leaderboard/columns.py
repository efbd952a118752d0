"""Which metrics are shown, in which order, and what a person's short name for one means."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from repaudit.errors import UsageError, nearest
from repaudit.finding import Better
from repaudit.gates import resolve
from repaudit.leaderboard.sections import Column
from repaudit.metrics.paired import is_paired

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from repaudit.leaderboard.entrants import Entrant
    from repaudit.report import Metric

HEADLINES = (
    "accuracy.top1",
    "calibration.ece",
    "calibration.nll",
    "geometry.rms",
    "geometry.cosine.minimum_loss",
    "robustness.*.robust_accuracy",
    "robustness.*.error_share",
)
"""What tells checkpoints apart at a glance: is it right, may it be believed, how does it lie, does it hold."""
_ALSO = 5
"""Candidates that a refusal names."""


def chosen_keys(
    entrants: Sequence[Entrant],
    *,
    metrics: Sequence[str],
    sort: str | None,
    published: Collection[str],
    everything: bool,
) -> list[str]:
    """Full keys of the columns.

    Args:
        entrants: a column is measured by one of them at least.
        metrics: full or short names; none means the headlines.
        sort: a metric that must be among them.
        published: keys that a paper printed, which become headlines too.
        everything: every metric that any report has.

    Raises:
        UsageError: a name means no metric, or several.
    """
    known = list(dict.fromkeys(key for entrant in entrants for key in sorted(entrant.report.metrics)))
    if metrics:
        keys = [full_key(name, known, "--metrics") for name in metrics]
    else:
        wanted = [*HEADLINES, *published]
        keys = [key for pattern in wanted for key in known if fnmatchcase(key, pattern) and _counts(key, entrants)]
        keys += sorted(known) if everything else []
    return list(dict.fromkeys([*keys, *([full_key(sort, known, "--sort")] if sort is not None else [])]))


def full_key(name: str, known: Sequence[str], flag: str) -> str:
    """The key that a full or short name means.

    Args:
        name: as a person typed it.
        known: full keys.
        flag: which the refusal names.

    Raises:
        UsageError: none or several, with what was probably meant.
    """
    found = resolve(name, known)
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - _ALSO} more" if len(found) > _ALSO else ""
        raise UsageError(
            f"{flag}: `{name}` is short for {len(found)} metrics",
            detail=", ".join(found[:_ALSO]) + more,
            remedy=f"{flag} {found[0]}",
        )
    shorts = {key.rpartition(".")[2] for key in known}
    near = nearest(name, [*known, *sorted(shorts)], 1)
    raise UsageError(
        f"{flag}: no report has a metric `{name}`", remedy=f"{flag} {near[0]}" if near else "repaudit list metrics"
    )


def columns_of(keys: Sequence[str], entrants: Sequence[Entrant]) -> list[Column]:
    """What there is to know of each metric, by the first report that has it."""
    columns = []
    for key in keys:
        metric = next(_measured(key, entrants))
        reason = _never_paired(key, metric)
        columns.append(
            Column(
                key=key,
                title=_title(key, keys),
                unit=metric.unit,
                better=metric.better,
                paired=reason is None,
                reason=reason,
                note=metric.note,
            )
        )
    return columns


def order(values: Sequence[float | None], better: Better) -> list[int]:
    """Places of the values, best first; what was not measured stands last, ties as they were given.

    Where neither direction is good the largest stands first.
    """
    sign = 1.0 if better is Better.LOWER else -1.0
    return sorted(range(len(values)), key=lambda at: _rank(values[at], sign))


def _rank(value: float | None, sign: float) -> tuple[bool, float]:
    return (True, 0.0) if value is None else (False, sign * value)


def _counts(key: str, entrants: Sequence[Entrant]) -> bool:
    """Whether a headline says anything: images without a verdict are of interest where there are any."""
    return not key.endswith(".error_share") or any(metric.value > 0 for metric in _measured(key, entrants))


def _measured(key: str, entrants: Sequence[Entrant]) -> Iterator[Metric]:
    return (entrant.report.metrics[key] for entrant in entrants if key in entrant.report.metrics)


def _never_paired(key: str, metric: Metric) -> str | None:
    if metric.better is Better.NEITHER:
        return "neither direction is better"
    return None if is_paired(key) else "does not follow from the per-image rows"


def _title(key: str, keys: Sequence[str]) -> str:
    """The key without its family, where that still means one shown metric only."""
    ending = key.partition(".")[2]
    return ending if resolve(ending, keys) == [key] else key
