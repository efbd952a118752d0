"""A saved report, judged again by other gates or beside another baseline; no model, no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from repaudit import gates
from repaudit.compare import Asked, compared, needed_columns, open_side, refuse_incomparable
from repaudit.errors import InvalidProfile, InvalidReport
from repaudit.profiles import fingerprint, load, read_waiver
from repaudit.report import RunStatus, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from pydantic import JsonValue

    from repaudit.profiles import Gate, Waiver
    from repaudit.report import Report

PASSED, GATE_FAILED = 0, 1


def judge_again(
    path: Path,
    *,
    profile: str | None,
    settings: Sequence[str],
    baseline: Path | None,
    directory: Path,
    today: date | None = None,
) -> Report:
    """The report with new verdicts and the exit status that follows.

    A report that is not complete keeps its own exit status: what a crash or an interruption left is no verdict.

    Args:
        path: of the JSON, or its folder.
        profile: name or file of the profile whose gates count; None: `repaudit.yaml` nearby, else the report's own.
        settings: `KEY=VALUE` as after `--set`.
        baseline: a report that `worse(…)` compares with, or its folder.
        directory: where profiles are looked for.
        today: by which waivers are counted; None is today in UTC.

    Raises:
        InvalidReport: a report cannot be read, or the two cannot be compared.
        InvalidProfile: the profile, a gate or a waiver of it makes no sense, or there is no gate.
    """
    report = read(path / "report.json" if path.is_dir() else path)
    asked = _asked(report, profile, settings, directory)
    wanted = asked.gates
    if baseline is None:
        _refuse_uncompared(wanted, report)
    if baseline is not None:
        now, before = open_side(path), open_side(baseline)
        keys = gates.relative_keys(wanted, report.metrics)
        _refuse_misfits(wanted, report)
        if missing := [name for key in keys for name in needed_columns(key) if name not in now.columns]:
            raise InvalidReport(
                f"{now.name} has no per-image `{missing[0]}`, which a comparison needs",
                remedy="a scan with the audit accuracy, and -o DIR",
            )
        refuse_incomparable(Asked.of(report), before, keys)
        report = compared(now, before, keys)
    judged = _asking(report, asked).with_verdicts(gates.judge(report, wanted))
    judged = gates.apply_waivers(judged, wanted, asked.waivers, datetime.now(UTC).date() if today is None else today)
    if report.run.status is not RunStatus.COMPLETE:
        return judged
    status = GATE_FAILED if any(verdict.failed for verdict in judged.gates) else PASSED
    return judged.model_copy(update={"run": judged.run.model_copy(update={"exit_code": status})})


def _refuse_uncompared(wanted: Sequence[Gate], report: Report) -> None:
    """Refuses a relative gate on what the report's own baseline was never compared in."""
    asked = {verdict.metric for verdict in report.gates if verdict.gate.startswith("worse(")}
    for gate in wanted:
        meant = gates.resolve(gate.metric, report.metrics)
        known = report.baseline is None or len(meant) != 1 or meant[0] in {*report.comparisons, *asked}
        if gate.relative and not known:
            raise InvalidProfile(
                f"gate `{gate.text}`: this report keeps no comparison of {meant[0]} with its baseline",
                detail="A report keeps those that its own gates asked for.",
                remedy="--baseline REPORT",
            )


def _refuse_misfits(wanted: Sequence[Gate], report: Report) -> None:
    """Refuses relative gates that can never be judged, before anything is compared."""
    for gate in wanted:
        meant = gates.resolve(gate.metric, report.metrics)
        if gate.relative and len(meant) == 1:
            metric = report.metrics[meant[0]]
            gates.refuse_percentage(gate, metric.unit)
            gates.refuse_relative(gate, meant[0], metric.better, baseline=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    gates: Sequence[Gate]
    waivers: Sequence[Waiver]
    written: Mapping[str, JsonValue]
    """Both as a profile writes them, where they are not the report's own."""
    name: str | None = None
    """Of the profile that judges, where that is another than the scan's."""


def _asking(report: Report, asked: _Asked) -> Report:
    """The report with the conditions that it is judged by now, so that judging it once more asks the same."""
    if not asked.written:
        return report
    resolved = {**report.profile.resolved, **asked.written}
    name = report.profile.name if asked.name is None else asked.name
    profile = report.profile.model_copy(update={"name": name, "resolved": resolved, "sha256": fingerprint(resolved)})
    return report.model_copy(update={"profile": profile})


def _asked(report: Report, profile: str | None, settings: Sequence[str], directory: Path) -> _Asked:
    """The gates to judge by and the waivers that belong to them."""
    resolved = load(profile, audits=None, settings=settings, limit=None, directory=directory)
    if resolved.gates:
        written = {key: resolved.resolved[key] for key in ("gates", "waivers") if key in resolved.resolved}
        named = profile is not None or resolved.path is not None  # else only `--set` speaks
        return _Asked(resolved.gates, resolved.waivers, written, resolved.name if named else None)
    own = report.profile.resolved.get("gates")
    if profile is None and isinstance(own, list) and own:
        again = load(
            None, audits=None, settings=[*settings, f"gates={json.dumps(own)}"], limit=None, directory=directory
        )
        by_hand = any(setting.partition("=")[0].strip() == "waivers" for setting in settings)
        if not by_hand:
            return _Asked(again.gates, _own_waivers(report), {})
        return _Asked(again.gates, again.waivers, {"waivers": again.resolved["waivers"]})
    raise InvalidProfile(
        "there is no gate to judge by",
        detail=f"Neither profile {resolved.name} nor the report has any.",
        remedy="--profile FILE.yaml with `gates:`, or --set 'gates=[top1 >= 0.75]'",
    )


def _own_waivers(report: Report) -> tuple[Waiver, ...]:
    own = report.profile.resolved.get("waivers")
    entries = [entry for entry in own if isinstance(entry, dict)] if isinstance(own, list) else []
    return tuple(read_waiver(entry, lambda *_: "the report's own profile") for entry in entries)
