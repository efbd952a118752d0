"""The report as Markdown: for a step summary, a comment on a merge request, or a folder of reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.attacks import attacks_line
from repaudit.render.headlines import family, shown_keys
from repaudit.render.markdown_text import code, prose
from repaudit.render.masking import battery_line
from repaudit.render.plain import number_beside, value_and_interval
from repaudit.render.readings import next_step, readings
from repaudit.render.summary import summary_line
from repaudit.render.unmeasured import unmeasured
from repaudit.render.wording import verdict_word
from repaudit.report import Outcome, RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from repaudit.report import Report, Verdict

MARK = "<!-- repaudit report -->"
"""First line of every file, by which repaudit knows its own."""
LARGEST = 900_000
"""Bytes; GitHub drops a step's summary over 1 MiB whole."""
LONGEST_SENTENCE = 1000
_CUT = "\n\nThe rest was left out: the text was too long. All of it is in the JSON report.\n"


def to_markdown(report: Report) -> str:
    """Verdict first, then the gates, the headline metrics, what they say, what is missing and what to mind."""
    sections = (
        MARK,
        f"## repaudit: {_status(report)}",
        _provenance(report),
        prose(summary_line(report), 2000),
        _section("Gates", _gates(report)),
        _section("Metrics", _metrics(report)),
        _section("Why", _bullets(readings(report))),
        _section("Not measured", _bullets(unmeasured(report))),
        _section("Mind", _bullets(_remarks(report))),
        f"**Next:** {prose(next_step(report), LONGEST_SENTENCE)}",
        _identity(report),
    )
    return _capped("\n\n".join(section for section in sections if section) + "\n")


def _status(report: Report) -> str:
    """One word or two; a scan that did not come to its end has no verdict."""
    if report.run.status is not RunStatus.COMPLETE:
        return "NOT FINISHED"
    if any(verdict.failed for verdict in report.gates):
        return "FAIL"
    return "pass" if report.gates else "no gates"


def _provenance(report: Report) -> str:
    subset = "" if report.data.subset == "all" else f" ({prose(report.data.subset)})"
    parts = (
        code(report.model.resolved),
        f"{report.data.images_count:,} images of {code(report.data.ref)}{subset}",
        f"profile {code(report.profile.name)}",
        *([] if report.baseline is None else [f"beside {code(report.baseline.model)}"]),
    )
    return " · ".join(parts)


def _identity(report: Report) -> str:
    run = report.run
    parts = (
        f"weights {code(report.model.weights_sha256)}",
        f"images {code(report.data.fingerprint)}",
        f"repaudit {code(report.tool.version)}",
        f"{code(run.environment.device)}, seed {run.seed}, {run.duration_s:.1f} s",
    )
    return " · ".join(parts)


def _gates(report: Report) -> str:
    """A table, what failed first."""
    verdicts = sorted(report.gates, key=lambda verdict: (not verdict.failed, verdict.outcome == Outcome.PASS))
    rows = [(_word(verdict), code(verdict.gate), _observed(verdict), prose(verdict.reason)) for verdict in verdicts]
    return _table(("Verdict", "Gate", "Value", "Why"), rows, right={"Value"})


def _word(verdict: Verdict) -> str:
    word = prose(verdict_word(verdict)) or "–"
    return f"**{word}**" if verdict.failed else word


def _observed(verdict: Verdict) -> str:
    return "–" if verdict.observed is None else number_beside(verdict.observed, verdict.limit)


def _metrics(report: Report) -> str:
    """The headlines with their intervals, and beside robustness what its numbers rest on."""
    keys = [key for key in shown_keys(report, everything=False) if key in report.metrics]
    rows = []
    for key in keys:
        metric = report.metrics[key]
        value, interval = value_and_interval(metric)
        rows.append((code(key), value, interval or prose(f"none: {metric.interval_reason}"), f"{metric.n:,}"))
    parts = [_table(("Metric", "Value", "95% interval", "n"), rows, right={"Value", "n"})]
    if any(family(key) == "robustness" for key in keys):
        parts += [prose(line, 2000) for line in (attacks_line(report), battery_line(report)) if line]
    hidden = len(report.metrics) - len(keys)
    parts += [f"{hidden} more metrics are in the JSON."] if hidden else []
    return "\n\n".join(part for part in parts if part)


def _remarks(report: Report) -> Iterator[str]:
    yield from (warning.message for warning in report.warnings)
    if report.baseline is not None:
        yield from (f"beside the baseline: {note}" for note in report.baseline.notes)


def _section(title: str, content: str) -> str:
    return f"### {title}\n\n{content}" if content else ""


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {prose(sentence, LONGEST_SENTENCE)}" for sentence in sentences)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[str]) -> str:
    """Cells must be Markdown already; nothing where there are no rows."""
    if not rows:
        return ""
    rule = ["---:" if title in right else "---" for title in titles]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows))


def _capped(text: str) -> str:
    """Cut after a whole line, with a remark, where it is too long."""
    content = text.encode()
    if len(content) <= LARGEST:
        return text
    room = content[: LARGEST - len(_CUT.encode())]
    return room[: room.rindex(b"\n")].decode() + _CUT
