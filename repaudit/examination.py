"""Runs audits on one classifier and one image set; what went wrong is kept beside what went well."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

from repaudit.audits import Material
from repaudit.case import Permissions, Storage
from repaudit.errors import Interrupted, RepauditError
from repaudit.evidence import collect, evidence_identity
from repaudit.finding import Finding, Notice, Skipped
from repaudit.tripwire import check_label_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from repaudit.audits import BoundAudit
    from repaudit.case import EvaluationShape
    from repaudit.classifier import Classifier
    from repaudit.evidence import Collected
    from repaudit.images import ImageSet
    from repaudit.progress import Progress


INTERRUPTED_BEFORE_ITS_END = "interrupted before it ended"


class Status(StrEnum):
    """How an audit ended."""

    OK = "ok"
    SKIPPED = "skipped"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOutcome:
    """What one audit found and what it cost."""

    audit: BoundAudit
    status: Status
    reason: str | None
    """Why it was skipped or went wrong."""
    findings: tuple[Finding, ...]
    duration_s: float
    forward_rows: int
    backward_rows: int
    cached: bool = False
    """An earlier run had done all of its attacks."""
    resumed: bool = False
    """An earlier run had done some of them."""


@dataclass(slots=True, kw_only=True)
class Examination:
    """Everything one scan learned; grows audit by audit, so that an interruption keeps what was done."""

    classifier: Classifier
    images: ImageSet
    audits: tuple[BoundAudit, ...]
    """All that were asked for, in their order."""
    collected: Collected
    shape: EvaluationShape
    clean_pass_s: float
    clean_rows: int
    """Rows sent forward by the clean pass, padding included."""
    notices: list[Notice] = field(default_factory=list)
    """What a reader must know that belongs to no single audit."""
    outcomes: list[AuditOutcome] = field(default_factory=list)
    stopped_by: KeyboardInterrupt | Interrupted | None = None
    """The interruption that ended it early."""

    @property
    def finished(self) -> bool:
        """Every audit came to an end of its own."""
        return self.stopped_by is None and all(outcome.status is not Status.ERROR for outcome in self.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How an examination is carried out, apart from what is examined."""

    seed: int
    shape: EvaluationShape
    dtype: torch.dtype
    fresh: bool
    cache: Path | None
    """Folder of kept work; None keeps nothing."""
    adversarials: Path | None = None
    """Folder for adversarial images; None saves none."""
    permissions: Permissions = field(default_factory=Permissions)


def examine(
    classifier: Classifier,
    images: ImageSet,
    audits: Sequence[BoundAudit],
    conditions: Conditions,
    progress: Progress,
) -> Examination:
    """The clean pass, then every audit in turn.

    Raises:
        InvalidData: the labels are most probably in another order than the model's.
        InvalidModel: the model answers with NaN or infinity.
        torch.OutOfMemoryError: the device is too small for this evaluation shape.
    """
    started, rows_before = time.monotonic(), classifier.work.forward_rows
    collected = collect(
        classifier,
        images,
        rows=conditions.shape.rows,
        progress=progress,
        cache=conditions.cache,
        dtype=conditions.dtype,
        fresh=conditions.fresh,
    )
    clean_pass_s, clean_rows = time.monotonic() - started, classifier.work.forward_rows - rows_before
    notice = check_label_order(collected.evidence, images, classifier.card.class_ids)
    examination = Examination(
        classifier=classifier,
        images=images,
        audits=tuple(audits),
        collected=collected,
        shape=conditions.shape,
        clean_pass_s=clean_pass_s,
        clean_rows=clean_rows,
        notices=[*images.notices, *classifier.card.notices, *([] if notice is None else [notice])],
    )
    material = Material(
        classifier=classifier,
        images=images,
        evidence=collected.evidence,
        seed=conditions.seed,
        shape=conditions.shape,
        progress=progress,
        storage=Storage(
            cache=conditions.cache,
            identity=evidence_identity(classifier, images, rows=conditions.shape.rows, dtype=conditions.dtype),
            fresh=conditions.fresh,
            adversarials=conditions.adversarials,
        ),
        permissions=conditions.permissions,
        dtype=conditions.dtype,
    )
    for audit in audits:
        outcome, examination.stopped_by = _run(audit, material)
        examination.outcomes.append(outcome)
        if examination.stopped_by is not None:
            break
    return examination


def _run(audit: BoundAudit, material: Material) -> tuple[AuditOutcome, KeyboardInterrupt | Interrupted | None]:
    """What one audit found, and the interruption that ended it early; what it had found until then is kept."""
    work = material.classifier.work
    forward, backward, started = work.forward_rows, work.backward_rows, time.monotonic()
    known, searched = work.jobs_known, work.jobs_searched
    findings: list[Finding] = []
    status, reason, stopped_by = Status.OK, None, None
    missing = audit.needs - material.classifier.capabilities
    if missing:
        status, reason = Status.SKIPPED, _lacks(material.classifier, sorted(missing))
        findings = [Skipped(key=key, reason=reason) for key in audit.keys]
    else:
        try:
            findings.extend(audit.run(material))
        except torch.OutOfMemoryError:
            raise
        except (KeyboardInterrupt, Interrupted) as stop:
            status, reason, stopped_by = Status.ERROR, INTERRUPTED_BEFORE_ITS_END, stop
        except Exception as crash:  # one audit's failure must not lose the others
            text = crash.problem if isinstance(crash, RepauditError) else f"{type(crash).__name__}: {crash}"
            status, reason = Status.ERROR, text
            material.progress.failure(audit.id, crash)
    outcome = AuditOutcome(
        audit=audit,
        status=status,
        reason=reason,
        findings=tuple(findings),
        duration_s=time.monotonic() - started,
        forward_rows=work.forward_rows - forward,
        backward_rows=work.backward_rows - backward,
        cached=work.jobs_known > known and work.jobs_searched == searched,
        resumed=work.jobs_known > known and work.jobs_searched > searched,
    )
    return outcome, stopped_by


def _lacks(classifier: Classifier, missing: list[str]) -> str:
    reason = classifier.card.head.reason
    return f"needs {' and '.join(missing)}" + (f": {reason}" if reason else "")
