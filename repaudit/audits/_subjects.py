"""Which images an audit attacks: those in question that the model gets right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.intake import Subjects
from repaudit.images import stratified

if TYPE_CHECKING:
    from repaudit.case import Case, P


@dataclass(frozen=True, slots=True)
class Field:
    """The images in question, as rows of the evidence."""

    size: int
    """Images of the evidence."""
    rows: np.ndarray
    """(n,) rising: those that `limit` left."""
    correct: np.ndarray
    """(n₀,) rising: those of them that are initially correct, and attacked."""


def field_of(case: Case[P], limit: int | None) -> Field:
    """At most `limit` images, every class in its share; all of them for None."""
    n = len(case.evidence)
    rows = stratified(case.evidence.labels, n if limit is None else limit, case.seed)
    return Field(n, rows, rows[case.evidence.summary.correct[rows]])


def subjects_of(case: Case[P], correct: np.ndarray) -> Subjects:
    """The initially correct images in rows `correct` of the evidence."""
    evidence = case.evidence
    return Subjects(
        ids=tuple(evidence.ids[row] for row in correct),
        labels=evidence.labels[correct],
        logits=np.asarray(evidence.logits)[correct],
    )
