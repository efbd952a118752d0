"""What GitHub Actions shows of a report beside the log: the step's summary and its annotations.

A runner reads commands from stdout and stderr alike; ours go to stderr, for stdout belongs to the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.render.markdown import to_markdown
from repaudit.render.markdown_text import code
from repaudit.render.plain import safe
from repaudit.render.wording import only_warns, verdict_word
from repaudit.report import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TextIO

    from repaudit.report import Report, Verdict

LARGEST_SUMMARY = 1024 * 1024
"""Bytes; a runner drops a step's summary whole that is larger."""
MOST_ANNOTATIONS = 10
"""Of one kind in one step; a runner drops those beyond."""


@dataclass(frozen=True, slots=True)
class _Annotation:
    title: str
    message: str


def announce(report: Report, environment: Mapping[str, str], stream: TextIO) -> None:
    """Adds to the step's summary and annotates what failed, inside GitHub Actions only.

    What goes wrong with the summary becomes a line on the stream: it never changes an exit status.

    Args:
        report: judged or not.
        environment: such as `os.environ`; `REPAUDIT_NO_GITHUB=1` keeps everything back.
        stream: stderr.
    """
    if not _listens(environment):
        return
    lines = [*_commands("error", list(_errors(report))), *_commands("warning", list(_warnings(report)))]
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        lines += _summarised(report, Path(summary))
    stream.writelines(f"{line}\n" for line in lines)
    stream.flush()


def announce_failure(model: str, told: str, environment: Mapping[str, str], stream: TextIO) -> None:
    """Annotates a model of which there is no report, and adds it to the step's summary; inside GitHub Actions only.

    Args:
        model: its reference.
        told: why nothing of it was measured.
        environment: as for `announce`.
        stream: stderr.
    """
    if not _listens(environment):
        return
    lines = list(_commands("error", [_Annotation("a model was not measured", f"{safe(model)}: {safe(told, 400)}")]))
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        text = f"\n## repaudit: not measured\n\n{code(model)}: {code(told)}\n"
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            lines.append(f"repaudit: the step's summary cannot be written: {error.strerror}")
    stream.writelines(f"{line}\n" for line in lines)
    stream.flush()


def _listens(environment: Mapping[str, str]) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true" and environment.get("REPAUDIT_NO_GITHUB", "") in {"", "0"}


def _errors(report: Report) -> Iterator[_Annotation]:
    if report.run.status is not RunStatus.COMPLETE:
        yield _Annotation("the scan did not finish", _about(report, report.run.message or "not all was measured"))
    for verdict in report.gates:
        if verdict.failed:
            yield _annotation(report, verdict)


def _warnings(report: Report) -> Iterator[_Annotation]:
    return (_annotation(report, verdict) for verdict in report.gates if only_warns(verdict))


def _annotation(report: Report, verdict: Verdict) -> _Annotation:
    return _Annotation(f"{verdict_word(verdict)}: {safe(verdict.gate)}", _about(report, verdict.reason))


def _about(report: Report, text: str) -> str:
    return f"{safe(report.model.resolved)}: {safe(text, 400)}"


def _commands(kind: str, annotations: Sequence[_Annotation]) -> Iterator[str]:
    shown = list(annotations)
    if len(shown) > MOST_ANNOTATIONS:
        left = len(shown) - MOST_ANNOTATIONS + 1
        shown[MOST_ANNOTATIONS - 1 :] = [_Annotation(f"{left} more", "The step's summary and the report name them.")]
    for each in shown:
        yield f"::{kind} title={_property(f'repaudit: {each.title}')}::{_data(each.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _summarised(report: Report, path: Path) -> list[str]:
    """Adds the Markdown to the summary of the step; returns what there is to say of it."""
    try:
        return _append(report, path)
    except OSError as error:
        return [f"repaudit: the step summary `{safe(str(path), 400)}` cannot be written: {error.strerror or error}"]


def _append(report: Report, path: Path) -> list[str]:
    there = path.stat().st_size if path.exists() else 0
    for text, said in (
        (to_markdown(report), []),
        (_left_out(report), ["repaudit: the step summary is full; this report was left out of it"]),
    ):
        content = ("\n\n" if there else "").encode() + text.encode()
        if there + len(content) < LARGEST_SUMMARY:
            with path.open("ab") as file:
                file.write(content)
            return said
    return ["repaudit: the step summary is full; nothing was added to it"]


def _left_out(report: Report) -> str:
    return f"repaudit: the report on {code(report.model.resolved)} was left out, the summary of this step is full.\n"
