"""From an examination to its report: what is the same for the same inputs, and what belongs to this run."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit import __version__
from repaudit.errors import Interrupted
from repaudit.examination import INTERRUPTED_BEFORE_ITS_END, AuditOutcome, Examination, Status
from repaudit.gates import apply_waivers, judge
from repaudit.numerics import settings_in_force
from repaudit.report import (
    AuditEntry,
    AuditStatus,
    BadImageEntry,
    Cost,
    DataSection,
    Environment,
    EvaluationShapeEntry,
    HeadSection,
    ModelSection,
    ProfileSection,
    Report,
    Run,
    RunStatus,
    Tool,
    WarningEntry,
    gather,
    scrubbed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from repaudit.classifier import Card
    from repaudit.finding import KeySpec
    from repaudit.images import ImageSet
    from repaudit.profiles import ResolvedProfile

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow")
PASSED, GATE_FAILED, UNFINISHED, INTERRUPTED = 0, 1, 3, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What may differ between two scans of the same thing."""

    id: str
    argv: tuple[str, ...]
    started_utc: str
    duration_s: float
    seed: int
    dtype: str


def report_of(examination: Examination, profile: ResolvedProfile, occasion: Occasion) -> Report:
    """The report of an examination, not judged yet."""
    findings = gather(finding for outcome in examination.outcomes for finding in outcome.findings)
    images = examination.images
    notices = [WarningEntry(code=notice.code, message=notice.message) for notice in examination.notices]
    return Report(
        tool=Tool(version=__version__),
        run=_run(examination, occasion),
        model=_model(examination.classifier.card, sorted(examination.classifier.capabilities)),
        data=data_section(images),
        profile=ProfileSection(name=profile.name, sha256=profile.sha256, resolved=dict(profile.resolved)),
        audits=[_entry(outcome, len(images)) for outcome in [*examination.outcomes, *_never_ended(examination)]],
        metrics=dict(findings.metrics),
        figures=dict(findings.figures),
        warnings=[*notices, *findings.warnings],
    )


def judged(report: Report, profile: ResolvedProfile, declared: Sequence[KeySpec], today: date) -> Report:
    """The same report with a verdict for each gate, and the exit status that follows.

    Args:
        report: of a scan.
        profile: whose gates were checked before it.
        declared: what they were checked against.
        today: in UTC, by which waivers are counted.
    """
    report = report.with_verdicts(judge(report, profile.gates, declared))
    report = apply_waivers(report, profile.gates, profile.waivers, today)
    if report.run.exit_code != PASSED or not any(verdict.failed for verdict in report.gates):
        return report
    return report.model_copy(update={"run": report.run.model_copy(update={"exit_code": GATE_FAILED})})


def columns_of(examination: Examination) -> Mapping[str, np.ndarray]:
    """Everything known of each image: `id`, `label` and what the audits added, (n,) each."""
    findings = gather(finding for outcome in examination.outcomes for finding in outcome.findings)
    evidence = examination.collected.evidence
    return {"id": np.array(evidence.ids), "label": evidence.labels} | dict(findings.columns)


def _exit_code(examination: Examination) -> int:
    stopped = examination.stopped_by
    if stopped is not None:
        return stopped.status if isinstance(stopped, Interrupted) else INTERRUPTED
    return PASSED if examination.finished else UNFINISHED


def _never_ended(examination: Examination) -> list[AuditOutcome]:
    """The audits that an interruption kept from ending: a gate on them must not pass."""
    ended = {outcome.audit.id for outcome in examination.outcomes}
    return [
        AuditOutcome(
            audit=audit,
            status=Status.ERROR,
            reason=INTERRUPTED_BEFORE_ITS_END,
            findings=(),
            duration_s=0.0,
            forward_rows=0,
            backward_rows=0,
        )
        for audit in examination.audits
        if audit.id not in ended
    ]


def _entry(outcome: AuditOutcome, images_count: int) -> AuditEntry:
    gathered = gather(outcome.findings)
    skipped = dict(gathered.skipped)
    if outcome.status is Status.ERROR:
        missing = [key for key in outcome.audit.keys if key not in gathered.metrics]
        skipped |= dict.fromkeys(missing, f"the audit could not finish: {outcome.reason}")
    return AuditEntry(
        id=outcome.audit.id,
        question=outcome.audit.question,
        version=outcome.audit.version,
        status=AuditStatus(outcome.status.value),
        reason=outcome.reason,
        params=outcome.audit.parameters.model_dump(mode="json"),
        images_count=images_count,
        skipped=skipped,
    )


def _model(card: Card, capabilities: list[str]) -> ModelSection:
    head = card.head
    return ModelSection(
        ref=_portable(card.ref),
        resolved=_portable(card.resolved),
        params_count=card.params_count,
        classes_count=card.classes_count,
        weights_sha256=card.weights_sha256,
        architecture=_portable(card.architecture),
        arguments=dict(card.arguments),
        preprocess=dict(card.preprocess.as_dict()),
        head=HeadSection(
            kind=head.kind,
            modules=list(head.modules),
            feature_width=head.feature_width,
            proof_error=head.proof_error,
            reason=head.reason,
        ),
        capabilities=capabilities,
        files=dict(card.files),
        notes=list(card.notes),
    )


def data_section(images: ImageSet) -> DataSection:
    """What a report says of its images."""
    return DataSection(
        ref=_portable(images.ref),
        layout=images.layout,
        images_count=len(images),
        labels=images.label_source,
        fingerprint=images.fingerprint,
        subset=images.subset,
        bad_images=[BadImageEntry(id=bad.id, reason=bad.reason) for bad in images.bad_images],
    )


def _run(examination: Examination, occasion: Occasion) -> Run:
    collected, stopped = examination.collected, examination.stopped_by
    wrong = [f"{each.audit.id}: {each.reason}" for each in examination.outcomes if each.status is Status.ERROR]
    done = len(examination.outcomes) - len(wrong)
    message = "; ".join(wrong) or None
    if stopped is not None:
        message = "interrupted"
    status = RunStatus.COMPLETE if message is None else RunStatus.PARTIAL if done else RunStatus.FAILED
    return Run(
        id=occasion.id,
        status=status,
        message=message,
        exit_code=_exit_code(examination),
        argv=scrubbed(occasion.argv),
        started_utc=occasion.started_utc,
        duration_s=occasion.duration_s,
        seed=occasion.seed,
        environment=_environment(examination, occasion.dtype),
        clean_pass=Cost(
            duration_s=examination.clean_pass_s,
            forward_rows=examination.clean_rows,
            backward_rows=0,
            cached=collected.cached,
            resumed=collected.resumed,
        ),
        audits={
            each.audit.id: Cost(
                duration_s=each.duration_s,
                forward_rows=each.forward_rows,
                backward_rows=each.backward_rows,
                cached=each.cached,
                resumed=each.resumed,
            )
            for each in examination.outcomes
        },
    )


def _environment(examination: Examination, dtype: str) -> Environment:
    device = examination.classifier.device
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: _version(name) for name in PACKAGES} | dict(examination.classifier.card.engines),
        device=str(device),
        cpu=platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        accelerators=[torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        numerics={"dtype": dtype, **settings_in_force()},
        evaluation_shape=EvaluationShapeEntry(rows=examination.shape.rows, calls=examination.shape.calls),
    )


def _portable(text: str) -> str:
    """Paths of this machine have no business in a report: they become relative to the working directory."""
    return text.replace(f"{Path.cwd()}/", "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
