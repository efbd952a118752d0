"""One row a metric, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from repaudit.render.plain import safe
from repaudit.render.wording import verdict_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.report import Metric, Report

COLUMNS = (
    "metric", "value", "unit", "better", "n", "low", "high", "level", "method", "reason", "gate", "verdict", "note",
)  # fmt: skip
LONGEST_TEXT = 2000
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet takes for the beginning of a formula, in the wide forms of East Asian keyboards too."""


def to_csv(report: Report) -> str:
    """Every metric, then what was not measured, with an empty value and the reason; RFC 4180, lines end in CR LF.

    Numbers read back to the last bit. A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    missing = {key: reason for audit in report.audits for key, reason in audit.skipped.items()}
    missing |= {verdict.metric: verdict.reason for verdict in report.gates if verdict.metric not in missing}
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for key, metric in report.metrics.items():
        writer.writerow((cell_text(key), *_measured(metric), *_judged(report, key), cell_text(metric.note)))
    for key in sorted(missing.keys() - report.metrics.keys()):
        writer.writerow((cell_text(key), *[""] * 8, cell_text(missing[key]), *_judged(report, key), ""))
    return stream.getvalue()


def _measured(metric: Metric) -> tuple[str | float, ...]:
    values = (metric.value, cell_text(metric.unit), str(metric.better), metric.n)
    interval = metric.interval
    if interval is None:
        return (*values, "", "", "", "", cell_text(metric.interval_reason or ""))
    return (*values, interval.low, interval.high, interval.level, cell_text(interval.method), "")


def _judged(report: Report, key: str) -> tuple[str, str]:
    """Gates on a metric and how they came out, in the same order."""
    verdicts = [verdict for verdict in report.gates if verdict.metric == key]
    return _joined([verdict.gate for verdict in verdicts]), _joined([verdict_word(verdict) for verdict in verdicts])


def _joined(texts: Sequence[str]) -> str:
    return cell_text("; ".join(texts))


def cell_text(text: str) -> str:
    """A foreign text as a cell: printable, and never a formula."""
    shown = safe(text, LONGEST_TEXT)
    return f"'{shown}" if shown.lstrip()[:1] in tuple(_FORMULA) else shown
