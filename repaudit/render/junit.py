"""JUnit XML: one test case a gate, for the test pages of CI servers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from repaudit.render.headlines import family
from repaudit.render.plain import safe
from repaudit.render.wording import verdict_word
from repaudit.report import AuditStatus, Outcome, RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repaudit.report import AuditEntry, Report, Verdict

LONGEST_TEXT = 2000
FINISHED = "scan finished"
"""Name of the test case that stands for the scan itself."""
_MEASURED_BY: Mapping[str, str] = {"collapse": "geometry"}
"""The audit of those families that are not called after theirs."""
_TYPES: Mapping[str, str] = {Outcome.FAIL: "fail", Outcome.NOT_MEASURED: "not-measured"}


def to_junit(report: Report) -> str:
    """One suite of one case a gate; of one case an audit where there is no gate.

    A gate that fails is a failure; of level `warn` it passes and says so; one waived is skipped. A scan that did
    not finish is an error in a case of its own: its gates prove nothing.
    """
    cases = [_gate(report, verdict) for verdict in report.gates] or [_audit(report, entry) for entry in report.audits]
    if report.run.status is not RunStatus.COMPLETE or not cases:
        cases.append(_finished(report))
    counts = {
        "tests": str(len(cases)),
        "failures": _count(cases, "failure"),
        "errors": _count(cases, "error"),
        "skipped": _count(cases, "skipped"),
        "time": _seconds(report.run.duration_s),
    }
    whole = {name: value for name, value in counts.items() if name != "skipped"}
    root = ElementTree.Element("testsuites", {"name": "repaudit"} | whole)
    named = {"name": _text(report.model.resolved)}
    suite = ElementTree.SubElement(root, "testsuite", named | counts | _started(report))
    suite.append(_properties(report))
    suite.extend(cases)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _started(report: Report) -> dict[str, str]:
    """In the form of JUnit, without a zone; nothing where the report does not say."""
    try:
        started = datetime.fromisoformat(report.run.started_utc)
    except ValueError:
        return {}
    return {"timestamp": started.replace(microsecond=0, tzinfo=None).isoformat()}


def _properties(report: Report) -> ElementTree.Element:
    known = {
        "model": report.model.ref,
        "weights_sha256": report.model.weights_sha256,
        "data": report.data.ref,
        "data_fingerprint": report.data.fingerprint,
        "images": str(report.data.images_count),
        "subset": report.data.subset,
        "profile": report.profile.name,
        "profile_sha256": report.profile.sha256,
        "tool_version": report.tool.version,
    }
    properties = ElementTree.Element("properties")
    for name, value in known.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": _text(value)})
    return properties


def _gate(report: Report, verdict: Verdict) -> ElementTree.Element:
    named = family(verdict.metric)
    case = _case(report, _MEASURED_BY.get(named, named), verdict.gate)
    if verdict.failed:
        kind = _TYPES.get(verdict.outcome, safe(verdict.outcome))
        failure = ElementTree.SubElement(case, "failure", {"message": _text(verdict.reason), "type": kind})
        failure.text = _numbers(report, verdict)
    elif verdict.outcome == Outcome.WAIVED:
        why = f"{verdict_word(verdict)}: {verdict.waiver.reason}" if verdict.waiver else verdict.reason
        ElementTree.SubElement(case, "skipped", {"message": _text(why)})
    elif verdict.outcome != Outcome.PASS:
        ElementTree.SubElement(case, "system-out").text = f"{verdict_word(verdict)}: {_text(verdict.reason)}"
    return case


def _numbers(report: Report, verdict: Verdict) -> str:
    """What decided, a line each: some pages show only the text of a failure."""
    metric = report.metrics.get(verdict.metric)
    lines = [_text(verdict.reason), f"limit: {verdict.limit!r}"]
    lines += [] if verdict.observed is None else [f"observed: {verdict.observed!r}"]
    lines += [] if verdict.bound is None else [f"bound: {verdict.bound!r}"]
    if metric is not None:
        lines.append(f"{safe(verdict.metric)}: {metric.value!r}, n = {metric.n}")
        if metric.interval is not None:
            lines.append(
                f"{100 * metric.interval.level:.10g} % interval: {metric.interval.low!r} to {metric.interval.high!r}"
            )
    return "\n".join(lines)


def _audit(report: Report, entry: AuditEntry) -> ElementTree.Element:
    case = _case(report, entry.id, "measured")
    reason = _text(entry.reason or "no reason given")
    match entry.status:
        case AuditStatus.OK:
            pass
        case AuditStatus.SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": reason})
        case AuditStatus.ERROR:
            ElementTree.SubElement(case, "error", {"message": reason, "type": "audit"}).text = reason
    return case


def _finished(report: Report) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", {"name": FINISHED, "classname": "repaudit", "time": _seconds(report.run.duration_s)}
    )
    if report.run.status is not RunStatus.COMPLETE:
        told = _text(report.run.message or "not all of it was measured")
        ElementTree.SubElement(case, "error", {"message": told, "type": report.run.status}).text = told
    return case


def _case(report: Report, audit: str, name: str) -> ElementTree.Element:
    cost = report.run.audits.get(audit)
    spent = {} if cost is None else {"time": _seconds(cost.duration_s)}
    return ElementTree.Element("testcase", {"name": _text(name), "classname": safe(audit)} | spent)


def _count(cases: list[ElementTree.Element], tag: str) -> str:
    return str(sum(case.find(tag) is not None for case in cases))


def _seconds(duration: float) -> str:
    return f"{duration:.3f}"


def _text(text: str) -> str:
    return safe(text, LONGEST_TEXT)
