"""All attacks of the audit, one after another, on the same images."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.attacks.adversarials import Adversarials
from repaudit.attacks.scout import scout, worth_a_copy
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._robustness_attack import Targets, verdicts
from repaudit.audits._robustness_virtual import Part, part_keys, union, virtual_classes
from repaudit.audits._subjects import subjects_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from repaudit.attacks import Setting
    from repaudit.attacks.scout import Scout
    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._robustness_trajectory import Trajectory
    from repaudit.audits._subjects import Field
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
    parameters = case.parameters
    if not settings:
        return
    targets = Targets(
        classifier=case.classifier,
        scout=_scout(case) if any(_scouted(case, setting) for setting in settings) else None,
        subjects=subjects_of(case, field.correct),
        kept=kept,
        eight_bit=parameters.eight_bit,
        engine=parameters.engine,
    )
    virtual = virtual_classes(case, field, targets, parameters.virtual_head)
    for series in _series(settings):
        real, widened = _Radii(case, targets), None if virtual is None else _Radii(case, virtual.targets)
        with real, widened or nullcontext():
            for setting in series:
                watching = witness(setting)
                evaluation = real.verdicts(setting, watching)
                parts: tuple[Part, ...] = ()
                if virtual is not None and widened is not None and part_keys(setting, parameters.virtual_head):
                    plus = widened.verdicts(virtual.widest(setting))
                    evaluation, parts = union(evaluation, plus), virtual.parts(setting, evaluation, plus)
                yield Attacked(evaluation, parts, watching)


class _Radii:
    """Attacks at rising radii, each given what the smaller one broke, with one store of adversarial images."""

    def __init__(self, case: Case[RobustnessParameters], targets: Targets) -> None:
        self._case, self._targets = case, targets
        self._smaller: Evaluation | None = None
        self._images = None if case.storage.adversarials is None else Adversarials()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._images is not None:
            self._images.close()

    def verdicts(self, setting: Setting, witness: Trajectory | None = None) -> Evaluation:
        """Those at the next radius."""
        self._smaller = verdicts(
            self._case, setting, self._targets, smaller=self._smaller, witness=witness, adversarials=self._images
        )
        if self._images is not None:
            broken = self._smaller.outcome == CODES[Outcome.BROKEN]
            self._images.next_radius({name for name, each in zip(self._smaller.ids, broken, strict=True) if each})
        return self._smaller


def _series(settings: tuple[Setting, ...]) -> list[list[Setting]]:
    """The radii of each list together, in the order of their first ones; a setting of no list by itself."""
    together: dict[str, list[Setting]] = {}
    for setting in settings:
        together.setdefault(setting.key if setting.series is None else f"{setting.series} …", []).append(setting)
    return list(together.values())


def _scouted(case: Case[RobustnessParameters], setting: Setting) -> bool:
    return case.dtype != torch.float32 or worth_a_copy(setting)


def _scout(case: Case[RobustnessParameters]) -> Scout | None:
    rows = case.shape.rows
    first = next(iter(case.images.batches(rows, case.evidence.ids[:rows]))).to(case.classifier.device)
    return scout(case.classifier, first.images, case.dtype)
