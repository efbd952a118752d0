"""Does what fools another network, whose gradients anybody can follow, fool this one too?"""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
import torch
from pydantic import BeforeValidator, model_validator
from pydantic import Field as Parameter

from repaudit.attacks.adversarials import Adversarials
from repaudit.attacks.checks import preflight
from repaudit.attacks.pgd import PgdOptions
from repaudit.attacks.threat import Norm, parse_length, parse_threat
from repaudit.audits import Audit
from repaudit.audits._robustness_attack import Engine, Targets, verdicts
from repaudit.audits._robustness_verdicts import (
    COVERS,
    NO_VERDICT,
    account,
    columns,
    describe,
    remarks,
    saturation,
    share,
    tally,
)
from repaudit.audits._subjects import field_of, subjects_of
from repaudit.audits._surrogate import SurrogateParameters, along, identity, load_surrogate
from repaudit.audits._transfer_definitions import DEFINITIONS
from repaudit.evidence import padded
from repaudit.finding import Better, Bounds, Column, Figure, Finding, Notice, Skipped, Unit, key_specs
from repaudit.report.attack_codes import NOT_ATTACKED, SURROGATE_RIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._subjects import Field
    from repaudit.case import Case, Permissions
    from repaudit.classifier import Classifier

ID = "transfer"
NO_SURROGATE = "no surrogate was given (--set transfer.surrogate=MODEL, another model of the same classes)"


def _length(raw: object) -> object:
    return None if raw is None else parse_length(raw)


class TransferParameters(SurrogateParameters):
    """Whose gradients are followed, how far, on how many images."""

    norm: Norm = Norm.LINF
    """linf or l2."""
    epsilon: Annotated[float, BeforeValidator(parse_length)] = 8 / 255
    """Radius in that norm, such as `8/255`."""
    steps: int = Parameter(default=20, ge=1)
    """Steps of PGD."""
    step_size: Annotated[float | None, BeforeValidator(_length)] = None
    """Length of one step in that norm; None is a quarter of the radius."""
    limit: int | None = Parameter(default=256, ge=1)
    """Images at most, in each class its share; initially wrong ones count among them. None takes all."""

    @model_validator(mode="after")
    def _radius_fits_norm(self) -> Self:
        parse_threat(self.norm, self.epsilon)
        return self


def run(case: Case[TransferParameters]) -> Iterator[Finding]:
    """Yields attack success, robust accuracy and the surrogate's own accuracy, verdicts an image, and how they came."""
    surrogate = load_surrogate(ID, case.parameters, case.classifier, case.permissions)
    if surrogate is None:
        yield from _nothing(NO_SURROGATE)
        return
    field = field_of(case, case.parameters.limit)
    found = preflight(case.classifier, case.images, tuple(case.evidence.ids[row] for row in field.rows), case.shape)
    yield from found.remarks
    yield from found.faults
    if found.faults:
        yield from _nothing(found.faults[0].message)
        return
    right = _right(case, surrogate, field)
    yield from _findings(_attacked(case, surrogate, field), surrogate, field, right)


def _attacked(case: Case[TransferParameters], surrogate: Classifier, field: Field) -> Evaluation:
    """The verdicts on all images that the model gets right, whatever the surrogate says of them."""
    asked = case.parameters
    options = PgdOptions(steps=asked.steps, step_size=asked.step_size or asked.epsilon / 4)
    setting = along(surrogate, parse_threat(asked.norm, asked.epsilon), options, case.shape.rows)
    targets = Targets(
        classifier=case.classifier,
        scout=None,
        subjects=subjects_of(case, field.correct),
        kept=frozenset(),
        eight_bit=True,
        engine=Engine.POOL,
        more_weights=identity(case, surrogate),
    )
    with nullcontext() if case.storage.adversarials is None else closing(Adversarials()) as images:
        return verdicts(case, setting, targets, adversarials=images)


def _right(case: Case[TransferParameters], surrogate: Classifier, field: Field) -> np.ndarray:
    """(n,) bool: which of the images in question the surrogate gets right as they are."""
    found = []
    rows = case.shape.rows
    for batch in case.images.batches(rows, tuple(case.evidence.ids[row] for row in field.rows)):
        there = batch.to(surrogate.device)
        with torch.no_grad():
            answers = surrogate.logits(padded(there.images, rows))[: len(there.ids)]
        found.append((answers.argmax(dim=1) == there.labels).cpu().numpy())
    return np.concatenate(found)


def _findings(evaluation: Evaluation, surrogate: Classifier, field: Field, right: np.ndarray) -> Iterator[Finding]:
    """All that is said, of the verdicts and of where the surrogate is right, (n,) bool."""
    shared = right[np.isin(field.rows, field.correct)]
    counted, both = tally(evaluation.outcome, len(field.rows)), tally(evaluation.outcome[shared], len(field.rows))
    note = f"along the gradients of {surrogate.card.resolved}; {describe(evaluation.setting)}; {COVERS}"
    if both.judged:
        yield share(f"{ID}.asr", both.broken, both.judged, Better.LOWER, f"of images that both get right; {note}")
    else:
        reason = "every attacked image ended in an error" if both.attacked else "no image is right by both"
        yield Skipped(key=f"{ID}.asr", reason=reason)
    yield share(f"{ID}.robust_accuracy", counted.robust, counted.n, Better.HIGHER, f"of all; {note}")
    yield share(f"{ID}.error_share", counted.error, counted.n, Better.LOWER, NO_VERDICT)
    yield share(f"{ID}.surrogate_top1", int(right.sum()), len(right), Better.NEITHER, "clean, of the same images")
    told = {"surrogate": surrogate.card.resolved, "surrogate_weights_sha256": surrogate.card.weights_sha256}
    yield Figure(key=f"{ID}.verdicts", data={**account(evaluation, counted), **told, "both_right": both.attacked})
    yield from columns(evaluation, field)
    known = np.full(field.size, NOT_ATTACKED, dtype=np.int8)
    known[field.rows] = right
    yield Column(name=SURROGATE_RIGHT, values=known)
    yield from saturation(evaluation.setting, both)
    yield from remarks(evaluation, counted)
    if 2 * both.attacked < counted.attacked:
        yield Notice(
            code="weak-surrogate",
            message=f"the surrogate is right on {both.attacked} of the {counted.attacked} images that the model gets "
            "right: its gradients say little of the model (another surrogate, its preprocessing by "
            "transfer.surrogate_preprocess, or its classes in another order)",
        )


def _nothing(reason: str) -> Iterator[Skipped]:
    for spec in audit.declared:
        yield Skipped(key=spec.pattern, reason=reason)


def _check(asked: TransferParameters, classifier: Classifier, permissions: Permissions) -> None:
    load_surrogate(ID, asked, classifier, permissions)


audit = Audit(
    question="Does what fools another network fool this one too?",
    version=1,
    needs=frozenset(),
    declared=(
        *key_specs(Unit.FRACTION, Better.LOWER, Bounds.ANY, f"{ID}.asr", f"{ID}.error_share"),
        *key_specs(Unit.FRACTION, Better.HIGHER, Bounds.ANY, f"{ID}.robust_accuracy"),
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.ANY, f"{ID}.surrogate_top1"),
    ),
    definitions=DEFINITIONS,
    parameters=TransferParameters,
    run=run,
    check=_check,
)
