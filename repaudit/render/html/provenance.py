"""What was measured, with what, on what, and how to do it again."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import yaml

from repaudit.render.html.limits import Listing
from repaudit.render.page import counted
from repaudit.render.plain import number, safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import JsonValue

    from repaudit.render.html.limits import Limits
    from repaudit.report import Cost, Report

EXITS: Mapping[int, str] = {
    0: "finished, no gate failed",
    1: "finished, a gate failed",
    3: "could not finish",
    130: "interrupted",
    143: "interrupted",
}
_LINE = 160
"""Characters of a line of the profile."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing and its value."""

    name: str
    value: str
    code: bool = False
    """Set in a fixed width."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one kind."""

    title: str
    facts: Listing[Fact]


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one audit took."""

    name: str
    seconds: str
    seconds_value: float
    forward: int
    backward: int
    reused: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything behind the numbers."""

    groups: tuple[Facts, ...]
    costs: Listing[CostRow]
    profile: Listing[str]
    """The resolved profile as lines of YAML."""
    command: str
    """That makes the report again."""


def key_facts(report: Report, limits: Limits) -> tuple[Fact, ...]:
    """What stands beside the verdict."""
    run, data = report.run, report.data
    return (
        Fact("Model", limits.named(report.model.resolved)),
        Fact("Data", limits.named(data.ref)),
        Fact("Images", f"{data.images_count:,}" + ("" if data.subset == "all" else f" ({limits.named(data.subset)})")),
        Fact("Profile", limits.named(report.profile.name)),
        Fact("Date", day(run.started_utc)),
        Fact("Exit status", f"{run.exit_code}: {EXITS.get(run.exit_code, 'not known here')}"),
    )


def day(started_utc: str) -> str:
    """Such as `2 March 2026, 14:05 UTC`; what is no date as it is."""
    try:
        when = datetime.fromisoformat(started_utc)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return safe(started_utc, 40)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def provenance(report: Report, limits: Limits) -> Provenance:
    """All of it, as far as the limits allow."""
    costs = [("clean pass", report.run.clean_pass), *report.run.audits.items()]
    return Provenance(
        groups=(
            _group("Model", _model(report), limits),
            _group("Preprocessing", _flat(report.model.preprocess), limits),
            _group("Data", _data(report), limits),
            _group("Run", _run(report), limits),
            _group("Environment", _environment(report), limits),
        ),
        costs=limits.cut(costs).each(lambda pair: _cost(limits.named(pair[0]), pair[1])),
        profile=_profile(report.profile.resolved, limits),
        command=limits.sentence(_command(report.run.argv)),
    )


def _profile(resolved: Mapping[str, JsonValue], limits: Limits) -> Listing[str]:
    """As YAML, line by line, every text in it shortened first."""

    def short(value: JsonValue) -> JsonValue:
        match value:
            case str():
                return limits.named(value)
            case dict():
                return {limits.named(name): short(item) for name, item in limits.cut(value.items()).items}
            case list():
                return [short(item) for item in limits.cut(value).items]
        return value

    text = yaml.safe_dump(short(dict(resolved)), sort_keys=False, allow_unicode=True, width=_LINE)
    return limits.cut(text.splitlines(), limits.lines).each(lambda line: safe(line, _LINE))


def _group(title: str, facts: Iterable[tuple[str, str]], limits: Limits) -> Facts:
    known = limits.cut(fact for fact in facts if fact[1])
    return Facts(title, known.each(lambda fact: Fact(limits.named(fact[0]), limits.sentence(fact[1]), code=True)))


def _model(report: Report) -> Iterable[tuple[str, str]]:
    model, head = report.model, report.model.head
    yield "asked for", model.ref
    yield "resolved", model.resolved
    yield "architecture", model.architecture
    yield from ((f"argument {name}", value) for name, value in _flat(model.arguments))
    yield "parameters", f"{model.params_count:,}"
    yield "classes", f"{model.classes_count:,}"
    yield "weights sha256", model.weights_sha256
    yield from ((f"{name} sha256", digest) for name, digest in model.files.items())
    yield "head", head.kind + (f", layer {', '.join(head.modules)}" if head.modules else "")
    yield "why no linear head", head.reason or ""
    yield "feature width", "" if head.feature_width is None else f"{head.feature_width:,}"
    yield "proof of the head", "" if head.proof_error is None else f"relative error {number(head.proof_error)}"
    yield "audits may use", ", ".join(model.capabilities)
    yield from (("note", note) for note in model.notes)


def _data(report: Report) -> Iterable[tuple[str, str]]:
    data = report.data
    yield "asked for", data.ref
    yield "layout", data.layout
    yield "images", f"{data.images_count:,}"
    yield "subset", data.subset
    yield "labels from", data.labels
    yield "fingerprint", data.fingerprint
    yield "left out", f"{len(data.bad_images):,} that could not be decoded" if data.bad_images else ""
    yield from (("not decoded", f"{bad.id}: {bad.reason}") for bad in data.bad_images)


def _run(report: Report) -> Iterable[tuple[str, str]]:
    run = report.run
    yield "id", run.id
    yield "status", str(run.status)
    yield "message", run.message or ""
    yield "exit status", str(run.exit_code)
    yield "started", run.started_utc
    yield "gates judged on", "" if run.judged_on is None else run.judged_on.isoformat()
    yield "took", f"{run.duration_s:,.1f} s"
    yield "seed", str(run.seed)
    yield "profile", f"{report.profile.name}, sha256 {report.profile.sha256}"
    yield "written by", f"{report.tool.name} {report.tool.version}, schema {report.schema_version}"
    yield "per-image rows", "" if report.per_image is None else report.per_image.path
    yield "per-image sha256", "" if report.per_image is None else report.per_image.sha256


def _environment(report: Report) -> Iterable[tuple[str, str]]:
    environment = report.run.environment
    yield "python", environment.python
    yield "platform", environment.platform
    yield "device", environment.device
    yield "accelerators", ", ".join(environment.accelerators)
    yield "cpu", environment.cpu
    yield "threads", str(environment.threads)
    shape = environment.evaluation_shape
    yield "evaluation shape", f"{counted(shape.rows, 'rows')} a call, {counted(shape.calls, 'calls')} held"
    yield from _flat(environment.numerics)
    yield from environment.packages.items()


def _flat(values: Mapping[str, JsonValue]) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cost(name: str, cost: Cost) -> CostRow:
    reused = "kept from an earlier run" if cost.cached else "continued" if cost.resumed else ""
    return CostRow(name, f"{cost.duration_s:,.2f}", cost.duration_s, cost.forward_rows, cost.backward_rows, reused)


def _command(argv: list[str]) -> str:
    words = argv[1:] if argv[:1] == ["repaudit"] else argv
    return f"repaudit {shlex.join(words)}"
