"""The report in at most 100 columns: what was measured, what the gates say, why, and what to do next."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from repaudit.profiles import Severity
from repaudit.render.attacks import attacks_line
from repaudit.render.beside import beside_interval
from repaudit.render.headlines import family, shown_keys
from repaudit.render.masking import battery_line, failed_checks
from repaudit.render.plain import safe, value_and_interval
from repaudit.render.readings import next_step, readings
from repaudit.render.summary import summary_line
from repaudit.render.table import TableColumn, lay_out
from repaudit.render.unmeasured import unmeasured
from repaudit.report import Metric, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from repaudit.report import Report, Verdict

WIDTH = 100
_COLUMNS = (
    TableColumn("Audit"),
    TableColumn("Metric", narrowest=18),
    TableColumn("Value", right=True),
    TableColumn("95% interval"),
    TableColumn("n", right=True),
    TableColumn("Gate", narrowest=10),
    TableColumn("Verdict"),
)
_WORDS: Mapping[str, tuple[str, str]] = {
    Outcome.PASS: ("pass", "green"),
    Outcome.UNPROVEN: ("pass ~", "yellow"),
    Outcome.FAIL: ("FAIL", "bold red"),
    Outcome.NOT_MEASURED: ("NOT MEASURED", "bold red"),
    Outcome.WAIVED: ("waived", "yellow"),
}


def console_for(stream: TextIO | None = None) -> Console:
    """A console that is 100 columns wide where nobody looks, and at most that where somebody does.

    NO_COLOR is honoured; a character that the stream cannot encode becomes `?` instead of an error.

    Args:
        stream: stdout by default.
    """
    stream = sys.stdout if stream is None else stream
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    console.width = min(WIDTH, console.width) if stream.isatty() else WIDTH
    return console


def print_report(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Prints the whole report.

    Args:
        report: judged or not.
        console: such as `console_for()` makes.
        verbose: every metric instead of the headlines.
    """
    _write(console, Text(_header(report), style="bold"))
    keys = shown_keys(report, everything=verbose)
    console.print()
    for line in lay_out(_COLUMNS, list(_rows(report, keys)), console, min(WIDTH, console.width)):
        console.print(line, soft_wrap=True)
    for heading, lines in (
        ("", list(_explanations(report))),
        ("Why", [(Text("·"), sentence) for sentence in readings(report)]),
        ("Not measured", [(Text("·"), sentence) for sentence in unmeasured(report, everything=verbose)]),
        ("Mind", [(Text("·"), sentence) for sentence in _to_mind(report, keys)]),
    ):
        if lines:
            console.print()
            if heading:
                console.print(Text(heading, style="bold"))
            for label, sentence in lines:
                _write(console, label, sentence)
    console.print()
    hidden = len(report.metrics) - len(set(keys) & set(report.metrics))
    if hidden:
        more = "1 more metric" if hidden == 1 else f"{hidden} more metrics"
        _write(console, Text(f"{more} with -v and in the JSON.", style="dim"))
    print_summary(report, console)
    _write(console, Text("Next:", style="bold"), next_step(report))


def _to_mind(report: Report, keys: list[str]) -> list[str]:
    told = [safe(warning.message, 400) for warning in report.warnings]
    beside = beside_interval(report, keys)
    return [*told, beside] if beside else told


def print_summary(report: Report, console: Console) -> None:
    """One line: how the gates stand, and which failed."""
    style = "bold red" if any(verdict.failed for verdict in report.gates) else ""
    told = f"{summary_line(report)} · profile {safe(report.profile.name)} · scanned in {report.run.duration_s:.1f} s"
    _write(console, Text(told, style=style))


def _header(report: Report) -> str:
    subset = "" if report.data.subset == "all" else f" ({safe(report.data.subset)})"
    parts = (
        f"repaudit {safe(report.tool.version)}",
        safe(report.model.resolved),
        f"{report.data.images_count:,} images of {safe(report.data.ref)}{subset}",
        safe(report.run.environment.device),
        f"seed {report.run.seed}",
    )
    return " · ".join(parts)


def _rows(report: Report, keys: list[str]) -> Iterator[list[Text] | Text]:
    previous = None
    attacked = [key for key in keys if family(key) == "robustness"]
    for key in keys:
        group = family(key)
        metric = report.metrics.get(key)
        value, interval = ("–", "") if metric is None else value_and_interval(metric)
        count = "" if metric is None else f"{metric.n:,}"
        left = [safe(group) if group != previous else "", safe(key.removeprefix(f"{group}.")), value, interval, count]
        previous = group
        verdicts = [verdict for verdict in report.gates if verdict.metric == key]
        own: list[Verdict | None] = [verdict for verdict in verdicts if not _is_relative(verdict)]
        for verdict in own or [None]:
            yield [*(Text(cell) for cell in left), *_gate_cells(verdict)]
            left = [""] * len(left)
        for relative in filter(_is_relative, verdicts):
            yield [*(Text(cell) for cell in _difference(report, relative, group)), *_gate_cells(relative)]
        if attacked and key == attacked[-1]:
            if radii := attacks_line(report):
                yield Text(radii)
            yield Text(battery_line(report), style="bold red" if failed_checks(report) else "")


def _is_relative(verdict: Verdict) -> bool:
    return verdict.gate.startswith("worse(")


def _difference(report: Report, verdict: Verdict, group: str) -> list[str]:
    """A row of its own: what `worse(…)` judges is no value of the metric."""
    name = f"worse({safe(verdict.metric.removeprefix(f'{group}.'))})"
    found = report.comparisons.get(verdict.metric)
    if found is None:
        return ["", name, "–", "", ""]
    reason = found.interval_reason
    worse = Metric(
        value=found.worse,
        unit=found.unit,
        better=found.better,
        n=found.n,
        interval=found.interval,
        interval_reason=reason,
        note="",
    )
    return ["", name, *value_and_interval(worse), f"{found.n:,}"]


def _gate_cells(verdict: Verdict | None) -> tuple[Text, Text]:
    if verdict is None:
        return Text(), Text()
    condition = re.search(r"[<>]=.*", verdict.gate)
    return Text(safe(condition[0] if condition else verdict.gate)), Text(*_word(verdict))


def _word(verdict: Verdict) -> tuple[str, str]:
    word, style = _WORDS.get(verdict.outcome, (safe(verdict.outcome), ""))
    if verdict.level is Severity.WARN and verdict.outcome in {Outcome.FAIL, Outcome.NOT_MEASURED}:
        return f"warn: {verdict.outcome}", "yellow"
    return word, style


def _explanations(report: Report) -> Iterator[tuple[Text, str]]:
    """What did not simply pass, failures first."""
    order = [Outcome.FAIL, Outcome.NOT_MEASURED, Outcome.WAIVED, Outcome.UNPROVEN]
    for outcome in order:
        for verdict in report.gates:
            if verdict.outcome == outcome:
                word, style = _word(verdict)
                yield Text(word.removeprefix("pass "), style=style), safe(verdict.reason, 400)


def _write(console: Console, text: Text, sentence: str = "") -> None:
    """Wraps a paragraph; a label keeps its lines together by an indent."""
    line = text.copy()
    if sentence:
        line.append(" ").append(sentence, style="default")
    first, *others = line.wrap(console, min(WIDTH, console.width) - 2)
    for part, indent in ((first, 0), *((other, 2) for other in others)):
        part.rstrip()
        console.print(Padding(part, (0, 0, 0, indent), expand=False), soft_wrap=True)
