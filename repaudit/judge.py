"""A saved report, judged again by other gates or beside another baseline; no model, no torch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from repaudit import gates
from repaudit.compare import Asked, compared, needed_columns, open_side, refuse_incomparable
from repaudit.errors import InvalidProfile, InvalidReport
from repaudit.profiles import load, read_waiver
from repaudit.report import RunStatus, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

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
    wanted, waivers = _asked(report, profile, settings, directory)
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
    judged = report.with_verdicts(gates.judge(report, wanted))
    judged = gates.apply_waivers(judged, wanted, waivers, datetime.now(UTC).date() if today is None else today)
    if report.run.status is not RunStatus.COMPLETE:
        return judged
    status = GATE_FAILED if any(verdict.failed for verdict in judged.gates) else PASSED
    return judged.model_copy(update={"run": judged.run.model_copy(update={"exit_code": status})})


def _refuse_misfits(wanted: Sequence[Gate], report: Report) -> None:
    """Refuses relative gates that can never be judged, before anything is compared."""
    for gate in wanted:
        meant = gates.resolve(gate.metric, report.metrics)
        if gate.relative and len(meant) == 1:
            metric = report.metrics[meant[0]]
            gates.refuse_percentage(gate, metric.unit)
            gates.refuse_relative(gate, meant[0], metric.better, baseline=True)


def _asked(
    report: Report, profile: str | None, settings: Sequence[str], directory: Path
) -> tuple[Sequence[Gate], Sequence[Waiver]]:
    """The gates to judge by and the waivers that belong to them."""
    resolved = load(profile, audits=None, settings=settings, limit=None, directory=directory)
    if resolved.gates:
        return resolved.gates, resolved.waivers
    own = report.profile.resolved.get("gates")
    if profile is None and isinstance(own, list) and own:
        again = load(
            None, audits=None, settings=[*settings, f"gates={json.dumps(own)}"], limit=None, directory=directory
        )
        by_hand = any(setting.partition("=")[0].strip() == "waivers" for setting in settings)
        return again.gates, again.waivers if by_hand else _own_waivers(report)
    raise InvalidProfile(
        "there is no gate to judge by",
        detail=f"Neither profile {resolved.name} nor the report has any.",
        remedy="--profile FILE.yaml with `gates:`, or --set 'gates=[top1 >= 0.75]'",
    )


def _own_waivers(report: Report) -> tuple[Waiver, ...]:
    own = report.profile.resolved.get("waivers")
    entries = [entry for entry in own if isinstance(entry, dict)] if isinstance(own, list) else []
    return tuple(read_waiver(entry, lambda *_: "the report's own profile") for entry in entries)
