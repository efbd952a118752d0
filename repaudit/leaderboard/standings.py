"""How one model stands to the reference on each metric."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from repaudit.compare import Asked, audit_differences, compare, needed_columns
from repaudit.finding import Better
from repaudit.gates.naming import is_short_for
from repaudit.leaderboard.entrants import REFERENCE
from repaudit.leaderboard.sections import Cell, Difference, Standing, Tally
from repaudit.metrics.paired import NoPair
from repaudit.report import AuditStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.leaderboard.entrants import Entrant
    from repaudit.leaderboard.sections import Column
    from repaudit.report import Comparison, Metric, Report

LEVEL = 0.95
_ERROR_SHARE = "error_share"
_INDIFFERENT: Mapping[str, frozenset[str]] = {
    "calibration.nll": frozenset({"bins", "resamples", "fit_fraction"}),
    "calibration.brier": frozenset({"bins", "resamples", "fit_fraction"}),
    "calibration.": frozenset({"resamples", "fit_fraction"}),
    "robustness.": frozenset({"perturbation_limit", "mechanism_epsilon", "eight_bit"}),
}
"""Parameters of an audit that cannot move a metric which follows from the per-image rows, by the start of its key."""


def no_pairs(entrant: Entrant, reference: Entrant, differences: Sequence[str]) -> str | None:
    """Why nothing of a model can be paired; None where something can.

    Args:
        entrant: the model.
        reference: what it stands beside.
        differences: between their images.
    """
    if differences:
        return f"other images than the reference's: {'; '.join(differences)}"
    if entrant.columns is None:
        return entrant.bare
    if reference.columns is None:
        return f"the reference has no per-image rows: {reference.bare}"
    if not np.array_equal(np.sort(entrant.columns["id"]), np.sort(reference.columns["id"])):
        return "its per-image rows are of other images than the reference's"
    return None


def obstacles(keys: Sequence[str], entrant: Entrant, reference: Entrant) -> dict[str, list[str]]:
    """How the audits behind metrics that both have were asked otherwise, by key; only keys that both have."""
    both = [key for key in keys if key in entrant.report.metrics and key in reference.report.metrics]
    now, before = Asked.of(entrant.report), Asked.of(reference.report)
    return {
        key: audit_differences(key.partition(".")[0], _narrowed(now, key), _narrowed(before, key), REFERENCE)
        for key in both
    }


def cell_of(
    column: Column, entrant: Entrant, reference: Entrant, blocked: str | None, differences: Sequence[str]
) -> Cell:
    """One metric of one model, compared where that can be.

    Args:
        column: the metric.
        entrant: the model.
        reference: what it stands beside; the same object in the reference's own row.
        blocked: why nothing of it can be paired.
        differences: in how the audit was asked.
    """
    metric = entrant.report.metrics.get(column.key)
    if metric is None:
        return Cell(value=None, reason=why_missing(column.key, entrant.report))
    cell = _bare(metric)
    if entrant is reference or not column.paired:
        return cell
    reason = blocked or "; ".join(differences) or _unmatched(column.key, entrant, reference)
    if not reason:
        try:
            return _compared(column.key, cell, entrant, reference)
        except NoPair:
            reason = "no image counts in both"
    return cell.model_copy(update={"standing": Standing.UNPAIRED, "reason": reason})


def tally_of(cells: Mapping[str, Cell]) -> Tally:
    """On which metrics a model is told apart."""
    standing = {each: [key for key, cell in cells.items() if cell.standing is each] for each in Standing}
    return Tally(
        better=standing[Standing.BETTER],
        worse=standing[Standing.WORSE],
        unproven=standing[Standing.UNPROVEN],
        unpaired=standing[Standing.UNPAIRED],
    )


def why_missing(key: str, report: Report) -> str:
    """Why a report does not have a metric."""
    family = key.partition(".")[0]
    audit = next((audit for audit in report.audits if audit.id == family), None)
    if audit is None:
        return f"audit {family} was not asked for"
    if audit.status is not AuditStatus.OK:
        return audit.reason or f"audit {family} did not finish"
    reasons = [reason for pattern, reason in audit.skipped.items() if is_short_for(key, pattern)]
    return reasons[0] if reasons else f"audit {family} did not measure it"


def _narrowed(asked: Asked, key: str) -> Asked:
    """What was asked of one metric: parameters that can move it, and of all attacks its own."""
    family = key.partition(".")[0]
    parameters = asked.parameters.get(family, {})
    indifferent = next((names for start, names in _INDIFFERENT.items() if key.startswith(start)), frozenset())
    kept = {name: value for name, value in parameters.items() if name not in indifferent}
    attacks = kept.get("attacks")
    if family == "robustness" and isinstance(attacks, list):
        own = [each for each in attacks if isinstance(each, dict) and each.get("key") == key.split(".")[1]]
        kept["attacks"] = own or attacks
    return replace(asked, parameters={**asked.parameters, family: kept})


def _unmatched(key: str, entrant: Entrant, reference: Entrant) -> str:
    """What one of the two lacks; nothing where both have all that a comparison needs."""
    if key not in reference.report.metrics:
        return f"{REFERENCE} has none: {why_missing(key, reference.report)}"
    for side, name in ((entrant, "it"), (reference, REFERENCE)):
        missing = [column for column in needed_columns(key) if column not in (side.columns or {})]
        if missing:
            return f"{name} has no per-image `{missing[0]}`"
    return ""


def _bare(metric: Metric) -> Cell:
    interval = metric.interval
    return Cell(
        value=metric.value,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        n=metric.n,
    )


def _compared(key: str, cell: Cell, entrant: Entrant, reference: Entrant) -> Cell:
    """The cell with its difference.

    Raises:
        NoPair: no image counts in both.
    """
    found = compare(key, entrant.side, reference.side)
    lost = max(_lost(key, entrant.report), _lost(key, reference.report))
    standing, reason = _standing(found), found.interval_reason
    if lost > 0 and standing is not Standing.UNPROVEN:
        standing, reason = Standing.UNPROVEN, f"{100 * lost:.2g} % of the images gave no finite logits"
    return cell.model_copy(update={"difference": _difference(found), "standing": standing, "reason": reason})


def _standing(found: Comparison) -> Standing:
    if found.interval is not None and found.interval.low > 0:
        return Standing.WORSE
    if found.interval is not None and found.interval.high < 0:
        return Standing.BETTER
    return Standing.UNPROVEN


def _difference(found: Comparison) -> Difference:
    """In the metric's own direction: `worse` counts against a model, a difference is what it is."""
    low, high = (None, None) if found.interval is None else (found.interval.low, found.interval.high)
    value = found.worse
    if found.better is Better.HIGHER:
        value = 0.0 - value
        low, high = (None if high is None else 0.0 - high), (None if low is None else 0.0 - low)
    return Difference(
        value=value,
        low=low,
        high=high,
        level=LEVEL if found.interval is None else found.interval.level,
        method=None if found.interval is None else found.interval.method,
        n=found.n,
        detectable=found.detectable,
    )


def _lost(key: str, report: Report) -> float:
    """Share of images to which the network had no finite answer under the attack of a metric."""
    share = report.metrics.get(f"{key.rpartition('.')[0]}.{_ERROR_SHARE}")
    return 0.0 if share is None or key.endswith(_ERROR_SHARE) else share.value
