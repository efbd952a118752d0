"""All attacks of the audit, one after another, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.intake import Subjects
from repaudit.attacks.scout import scout
from repaudit.audits._robustness_attack import Targets, verdicts
from repaudit.audits._robustness_virtual import Part, part_keys, virtual_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from repaudit.attacks import Setting
    from repaudit.attacks.scout import Scout
    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._robustness_trajectory import Trajectory
    from repaudit.audits._robustness_verdicts import Field
    from repaudit.audits.robustness import RobustnessParameters
    from repaudit.case import Case


@dataclass(frozen=True, slots=True)
class Attacked:
    """One attack's verdicts."""

    evaluation: Evaluation
    parts: tuple[Part, ...]
    """What the headline is the union of, where it is one."""
    witness: Trajectory | None


def attacked(
    case: Case[RobustnessParameters],
    field: Field,
    kept: frozenset[str],
    settings: tuple[Setting, ...],
    witness: Callable[[Setting], Trajectory | None],
) -> Iterator[Attacked]:
    """Runs the attacks; of a list of radii each is given what the smaller one broke.

    Args:
        case: of the audit.
        field: the images in question.
        kept: ids of images whose features under attack are wanted.
        settings: the attacks that can run.
        witness: who watches an attack.
    """
    evidence, parameters = case.evidence, case.parameters
    if not settings:
        return
    targets = Targets(
        classifier=case.classifier,
        scout=_scout(case),
        subjects=Subjects(
            ids=tuple(evidence.ids[row] for row in field.correct),
            labels=evidence.labels[field.correct],
            logits=np.asarray(evidence.logits)[field.correct],
        ),
        kept=kept,
        eight_bit=parameters.eight_bit,
        engine=parameters.engine,
    )
    virtual = virtual_classes(case, field, targets, parameters.virtual_head)
    smaller: dict[str, Evaluation] = {}
    for setting in settings:
        watching = witness(setting)
        series = setting.series
        before = None if series is None else smaller.get(series)
        evaluation = verdicts(case, setting, targets, smaller=before, witness=watching)
        if series is not None:
            smaller[series] = evaluation
        parts: tuple[Part, ...] = ()
        if virtual is not None and part_keys(setting, parameters.virtual_head):
            evaluation, parts = virtual.united(case, setting, evaluation)
        yield Attacked(evaluation, parts, watching)


def _scout(case: Case[RobustnessParameters]) -> Scout | None:
    rows = case.shape.rows
    first = next(iter(case.images.batches(rows, case.evidence.ids[:rows]))).to(case.classifier.device)
    return scout(case.classifier, first.images, case.dtype)
