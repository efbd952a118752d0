"""The conductor: references in, one judged report out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import torch

from repaudit import audits, cache, gates
from repaudit.case import Permissions
from repaudit.compare import Asked, Side, compared, open_side, refuse_incomparable
from repaudit.data import DataRequest, check_reference, open_images
from repaudit.device import choose_device, choose_dtype, choose_shape, halved
from repaudit.errors import Interrupted, InvalidProfile, UnfinishedError
from repaudit.examination import Conditions, Examination, examine
from repaudit.record import Occasion, columns_of, data_section, judged, report_of
from repaudit.report.attack_codes import ATTACKED
from repaudit.sources import ModelRequest, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from repaudit.audits import BoundAudit
    from repaudit.case import EvaluationShape
    from repaudit.classifier import Classifier
    from repaudit.images import ImageSet
    from repaudit.profiles import ResolvedProfile
    from repaudit.progress import Progress
    from repaudit.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Everything one scan is asked for."""

    model: str
    data: str
    profile: ResolvedProfile
    arch: str | None = None
    preprocess: str | None = None
    trust_pickle: bool = False
    offline: bool = False
    skip_bad_images: bool = False
    fresh: bool = False
    device: str = "auto"
    batch_size: str = "auto"
    dtype: str = "float32"
    workers: int | None = None
    seed: int = 0
    adversarials: Path | None = None
    """Folder for images that broke the model; None saves none."""
    keep: bool = True
    """Keeps the clean pass and finished attacks for the next scan, and uses what earlier ones kept."""
    baseline: Path | None = None
    """A report that `worse(…)` compares with."""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scanned:
    """A report, the per-image columns that go beside it, and what kept the scan from its end, if anything did."""

    report: Report
    columns: Mapping[str, np.ndarray]
    failure: KeyboardInterrupt | Interrupted | None
    """An interruption; the report is kept all the same."""


def carry_out(order: Order, progress: Progress) -> Scanned:
    """Loads, examines, judges.

    Raises:
        UsageError: the order must change; nothing was measured.
        UnfinishedError: the device ran out of memory at the smallest evaluation shape.
    """
    started, started_utc = time.monotonic(), datetime.now(UTC)
    bound = _bound(order.profile, baseline=order.baseline is not None)
    declared = [spec for audit in bound for spec in audit.offer.declared]
    before = None if order.baseline is None else open_side(order.baseline)
    keys = gates.relative_keys(order.profile.gates, [spec.pattern for spec in declared])
    _refuse_without_rows(keys, [audit.id for audit in bound])
    check_reference(order.data)  # before a model is loaded, or worse, downloaded
    device, dtype = choose_device(order.device), choose_dtype(order.dtype)
    choose_shape(order.batch_size, device)  # refuses a wrong size before a model is loaded
    classifier = _classifier(order, device, progress)
    permissions = Permissions(offline=order.offline, trust_pickle=order.trust_pickle)
    for audit in bound:
        audit.check(classifier, permissions)
    shape = choose_shape(order.batch_size, device, classifier.card.operations)
    images = _images(order, classifier, progress)
    if before is not None:
        refuse_incomparable(_asked(images, bound, order.seed), before, keys)
    folder = cache.writable(progress) if order.keep else None

    def attempt(shape: EvaluationShape) -> Examination:
        conditions = Conditions(
            seed=order.seed,
            shape=shape,
            dtype=dtype,
            fresh=order.fresh,
            cache=folder,
            adversarials=order.adversarials,
            permissions=permissions,
        )
        return examine(classifier, images, bound, conditions, progress)

    examination = _within_memory(attempt, shape, progress)
    occasion = Occasion(
        id=uuid4().hex,
        argv=order.argv,
        started_utc=started_utc.isoformat(timespec="seconds"),
        duration_s=time.monotonic() - started,
        seed=order.seed,
        dtype=order.dtype,
    )
    report, columns = report_of(examination, order.profile, occasion), columns_of(examination)
    if before is not None:
        report = compared(Side(report, columns, "this scan"), before, keys)
    return Scanned(judged(report, order.profile, declared, datetime.now(UTC).date()), columns, examination.stopped_by)


def _bound(profile: ResolvedProfile, *, baseline: bool) -> list[BoundAudit]:
    """The profile's audits with their parameters, once its gates are known to be ones that can be judged."""
    bound = []
    for name, raw in profile.audits.items():
        try:
            bound.append(audits.bind(name, raw))
        except InvalidProfile as error:
            place, edit = (error.place, error.edit) if isinstance(error, audits.InvalidAudit) else ((), "")
            raise profile.located(error, "audits", name, *place, edit=edit) from None
    declared = [spec for audit in bound for spec in audit.offer.declared]
    elsewhere = {pattern: remedy for audit in bound for pattern, remedy in audit.offer.elsewhere.items()}
    if profile.gates:
        elsewhere |= _of_other_audits([audit.id for audit in bound])
    for row, gate in enumerate(profile.gates):
        try:
            gates.check([gate], declared, elsewhere, baseline=baseline)
        except InvalidProfile as error:
            raise profile.located(error, "gates", row) from None
    return bound


def _asked(images: ImageSet, bound: list[BoundAudit], seed: int) -> Asked:
    return Asked(
        data_section(images),
        {audit.id: audit.version for audit in bound},
        {audit.id: audit.parameters.model_dump(mode="json") for audit in bound},
        seed,
    )


def _refuse_without_rows(keys: list[str], chosen: list[str]) -> None:
    """What is compared image by image, attacks apart, follows from the rows of one audit."""
    if "accuracy" not in chosen and any(not key.startswith(ATTACKED) for key in keys):
        raise InvalidProfile(
            f"worse({keys[0]}) is compared image by image, which needs the audit accuracy",
            remedy=f"--audits accuracy,{','.join(chosen)}",
        )


def _of_other_audits(chosen: list[str]) -> dict[str, str]:
    """Keys of the audits that a profile leaves out, and the flag that would take each in."""
    return {
        key: f"--audits {','.join([*chosen, name])}"
        for name in audits.names()
        if name not in chosen
        for key in audits.load(name).keys
    }


def _classifier(order: Order, device: torch.device, progress: Progress) -> Classifier:
    return open_model(
        ModelRequest(
            ref=order.model,
            arch=order.arch,
            arguments=order.profile.model_arguments,
            preprocess=order.preprocess,
            device=device,
            trust_pickle=order.trust_pickle,
            offline=order.offline,
            progress=progress,
        )
    )


def _images(order: Order, classifier: Classifier, progress: Progress) -> ImageSet:
    return open_images(
        DataRequest(
            ref=order.data,
            preprocess=classifier.card.preprocess,
            classes_count=classifier.card.classes_count,
            class_ids=classifier.card.class_ids,
            limit=order.profile.limit,
            seed=order.seed,
            skip_bad_images=order.skip_bad_images,
            workers=_default_workers() if order.workers is None else order.workers,
            progress=progress,
        )
    )


def _default_workers() -> int:
    return min(8, max(1, (os.cpu_count() or 1) - 1))


def _within_memory(
    attempt: Callable[[EvaluationShape], Examination], shape: EvaluationShape, progress: Progress
) -> Examination:
    """Halves the evaluation shape until the device has room; all of it is measured with one shape."""
    while True:
        try:
            return attempt(shape)
        except torch.OutOfMemoryError as error:
            smaller = halved(shape)
            if smaller is None:
                raise UnfinishedError(
                    f"the device has no room for {shape.rows} images at a time",
                    detail=str(error).splitlines()[0],
                    remedy="--device cpu, or a device with more memory",
                ) from None
            progress.note(f"out of memory at {shape.rows} rows a call: starting again with {smaller.rows}")
            shape = smaller
            torch.cuda.empty_cache()
