"""One attack of the robustness audit: where its verdicts come from, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.journal import journal_of
from repaudit.attacks.scout import worth_a_copy
from repaudit.attacks.verdict import CODES, Outcome, with_smaller

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from repaudit.attacks import Setting
    from repaudit.attacks.adversarials import Adversarials
    from repaudit.attacks.journal import Journal
    from repaudit.attacks.scout import Scout
    from repaudit.attacks.verdict import Evaluation, Witness
    from repaudit.case import Case, P
    from repaudit.classifier import Classifier


class Engine(StrEnum):
    """Who runs a published protocol."""

    POOL = "pool"
    """This program."""
    REFERENCE = "reference"
    """The published implementation, as a second opinion; other attacks are run by the pool all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The network and the images under attack, and what is wanted of them."""

    classifier: Classifier
    """The case's, or one of more classes built on it."""
    scout: Scout | None
    """A faster copy of it."""
    subjects: Subjects
    kept: frozenset[str]
    """Ids of images whose features under attack are wanted."""
    eight_bit: bool
    engine: Engine
    classes: int | None = None
    """How many of the logits, from the first, are classes a label can have; None: all."""
    more_weights: str | None = None
    """sha256 of what the network has beyond the case's."""


def verdicts(
    case: Case[P],
    setting: Setting,
    targets: Targets,
    *,
    smaller: Evaluation | None = None,
    witness: Witness | None = None,
    adversarials: Adversarials | None = None,
) -> Evaluation:
    """Attacks the images by one setting.

    Args:
        case: of the audit; its storage keeps a journal and, where wanted, the adversarial images.
        setting: which attack.
        targets: which network and images.
        smaller: of the same attack at a smaller radius; what that broke is broken here.
        witness: sees the kept images move.
        adversarials: takes the images that are broken, and saves them where the case's storage says.
    """
    if targets.engine is Engine.REFERENCE and setting.name == "autoattack":
        from repaudit.attacks.reference import evaluate_by_reference

        return evaluate_by_reference(
            targets.classifier,
            case.images,
            targets.subjects,
            setting,
            seed=case.seed,
            shape=case.shape,
            progress=case.progress,
        )
    subjects = targets.subjects if smaller is None else _unbroken(targets, smaller)
    with _journal(case, setting, targets) as journal:
        found = evaluate(
            targets.classifier,
            case.images,
            subjects,
            setting,
            seed=case.seed,
            shape=case.shape,
            progress=case.progress,
            kept=targets.kept,
            witness=witness,
            journal=journal,
            adversarials=adversarials,
            eight_bit=targets.eight_bit,
            classes=targets.classes,
            scout=_copy(setting, targets),
        )
    if smaller is not None:
        found = with_smaller(found, smaller)
    if adversarials is not None and case.storage.adversarials is not None:
        path = case.storage.adversarials / f"{setting.key}.safetensors"
        count = adversarials.save(path, found, lambda ids: _pixels(case, ids))
        case.progress.note(f"{count} adversarial images of {setting.key}: {path}")
    return found


def _copy(setting: Setting, targets: Targets) -> Scout | None:
    """The faster copy, where this attack asks enough to be worth it; one in half precision always."""
    copy = targets.scout
    return copy if copy is not None and (copy.half or worth_a_copy(setting)) else None


def _unbroken(targets: Targets, smaller: Evaluation) -> Subjects:
    """Images that the smaller radius left, and broken ones whose features are wanted at this one too."""
    broken = {smaller.ids[row] for row in np.flatnonzero(smaller.outcome == CODES[Outcome.BROKEN])}
    subjects = targets.subjects
    rows = [row for row, name in enumerate(subjects.ids) if name not in broken or name in targets.kept]
    return Subjects(
        ids=tuple(subjects.ids[row] for row in rows), labels=subjects.labels[rows], logits=subjects.logits[rows]
    )


def _journal(case: Case[P], setting: Setting, targets: Targets) -> AbstractContextManager[Journal | None]:
    return journal_of(
        case.storage,
        setting,
        seed=case.seed,
        progress=case.progress,
        classes=targets.classes,
        more_weights=targets.more_weights,
        eight_bit=targets.eight_bit,
        copy=None if _copy(setting, targets) is None else str(case.dtype),
    )


def _pixels(case: Case[P], ids: tuple[str, ...]) -> np.ndarray:
    batches = [batch.images for batch in case.images.batches(case.shape.rows, ids)]
    pixels: np.ndarray = torch.cat(batches).cpu().numpy()
    return pixels
