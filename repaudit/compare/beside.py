"""A report beside its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from repaudit.compare.comparable import needed_columns
from repaudit.compare.pairs import compare
from repaudit.metrics.paired import NoPair
from repaudit.report import BaselineSection

if TYPE_CHECKING:
    from repaudit.compare.sides import Side
    from repaudit.report import Report


def baseline_section(now: Report, before: Side) -> BaselineSection:
    """What a report keeps of its baseline."""
    mine, theirs = now.model, before.report.model
    notes = [] if mine.preprocess == theirs.preprocess else ["the baseline is preprocessed otherwise"]
    if now.tool.version != before.report.tool.version:
        notes.append(f"the baseline was measured by repaudit {before.report.tool.version}")
    return BaselineSection(
        sha256=before.sha256, model=theirs.resolved, weights_sha256=theirs.weights_sha256, notes=notes
    )


def compared(now: Side, before: Side, keys: Sequence[str]) -> Report:
    """The report of a side with its baseline, and some metrics compared; what cannot be paired is left out.

    Args:
        now: with its rows.
        before: comparable with it.
        keys: full names.
    """
    comparisons = {}
    for key in sorted(keys):
        rows = all(name in side.columns for side in (now, before) for name in needed_columns(key))
        if rows and key in now.report.metrics and key in before.report.metrics:
            with suppress(NoPair):
                comparisons[key] = compare(key, now, before)
    return now.report.model_copy(update={"baseline": baseline_section(now.report, before), "comparisons": comparisons})
