"""What counts as a success, and the verdicts that follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from repaudit.attacks import Setting
    from repaudit.attacks.pool import Place
    from repaudit.attacks.threat import Threat

MARGINAL = 1e-4
"""Share of the spread of an image's logits below which a margin may change sign in another evaluation shape."""


class Outcome(StrEnum):
    """What an attack did to an image."""

    ROBUST = "robust"
    """No query within the radius was misclassified."""
    BROKEN = "broken"
    ERROR = "error"
    """The network answered with NaN or infinity: neither robust nor broken."""
    INITIALLY_WRONG = "initially_wrong"
    """Misclassified without an attack, and not attacked."""


NOT_ATTACKED = -1
CODES = {Outcome.ROBUST: 0, Outcome.BROKEN: 1, Outcome.ERROR: 2, Outcome.INITIALLY_WRONG: 3}
"""Outcomes in arrays; `NOT_ATTACKED` stands for an image that was not in question."""


@dataclass(frozen=True, slots=True)
class LastIterates:
    """Where the first job of some images ended, broken on the way or not."""

    position: np.ndarray
    """(k,) int64, rising: which of the evaluation's images."""
    features: np.ndarray
    """(k, d) float32."""


@dataclass(slots=True)
class Gradients:
    """Rows of backward passes whose result was used, and what was odd about them."""

    rows: int = 0
    zero: int = 0
    """Every value exactly 0."""
    nonfinite: int = 0
    """Some value NaN or infinite (the attack saw 0 there)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One verdict an image; arrays are aligned with `ids`."""

    setting: Setting
    seed: int
    ids: tuple[str, ...]
    outcome: np.ndarray
    """(n,) int8, see `CODES`."""
    target: np.ndarray
    """(n,) int64: of the deciding job, −1 for any wrong class."""
    restart: np.ndarray
    """(n,) int64, from 0."""
    iteration: np.ndarray
    """(n,) int64: queries of the job before the deciding one, which is the first success; for a robust image the
    query of smallest margin; for an error the first whose logits were not finite."""
    margin: np.ndarray
    """(n,) float64 at the deciding query: the label's logit − the largest other; NaN for errors."""
    perturbation: np.ndarray
    """(n,) float64: ‖δ‖ of the deciding query in the threat's norm."""
    marginal: np.ndarray
    """(n,) bool: |margin| is below `MARGINAL` of the spread of the logits."""
    last: LastIterates | None
    """Of the images kept to the end; None without a linear head."""
    gradients: Gradients

    def __len__(self) -> int:
        return len(self.ids)

    def count(self, outcome: Outcome) -> int:
        """How many images came out so."""
        return int((self.outcome == CODES[outcome]).sum())


@dataclass(frozen=True, slots=True)
class Answers:
    """The network's answers to some queries, as far as a verdict needs them; each (r,)."""

    finite: np.ndarray
    wrong: np.ndarray
    """The label does not have the largest logit; ties go to the lower class, as in the clean pass."""
    inside: np.ndarray
    """The query lies within the threat."""
    margin: np.ndarray
    size: np.ndarray
    """‖δ‖."""
    spread: np.ndarray
    """Largest − smallest logit."""


def judge(threat: Threat, perturbation: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> Answers:
    """Reads the answers to queries.

    Args:
        threat: within which a success counts.
        perturbation: (r, c, h, w), query − clean image.
        logits: (r, k).
        labels: (r,).
    """
    own = logits.gather(1, labels[:, None])
    lower = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    wrong = ((logits > own) | ((logits == own) & lower)).any(dim=1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    size = threat.size(perturbation)
    figures = torch.stack(
        [
            logits.isfinite().all(dim=1).double(),
            wrong.double(),
            threat.contains(size).double(),
            own.squeeze(1).double() - others.amax(dim=1).double(),
            size,
            (logits.amax(dim=1) - logits.amin(dim=1)).double(),
        ]
    )
    finite, mistaken, inside, margin, length, spread = figures.cpu().numpy()  # one transfer for the whole call
    return Answers(finite > 0, mistaken > 0, inside > 0, margin, length, spread)


class Ledger:
    """The verdicts so far on n images."""

    def __init__(self, n: int) -> None:
        self.decided = np.zeros(n, dtype=bool)
        """Broken or in error: nothing that follows changes the verdict."""
        self._outcome = np.full(n, CODES[Outcome.ROBUST], dtype=np.int8)
        self._target, self._restart, self._iteration = (np.zeros(n, dtype=np.int64) for _ in range(3))
        self._margin, self._size, self._spread = (np.full(n, np.inf) for _ in range(3))

    def record(self, place: Place, answers: Answers) -> None:
        """Takes the answers to one query of each of r different images."""
        subject = place.subject
        undecided = ~self.decided[subject]
        error = undecided & ~answers.finite
        counts = undecided & answers.finite & answers.inside
        broken = counts & answers.wrong
        closer = counts & (answers.margin < self._margin[subject])
        self._outcome[subject[error]] = CODES[Outcome.ERROR]
        self._outcome[subject[broken]] = CODES[Outcome.BROKEN]
        self.decided[subject[error | broken]] = True
        for mine, seen in (
            (self._target, place.target),
            (self._restart, place.restart),
            (self._iteration, place.iteration),
            (self._margin, np.where(answers.finite, answers.margin, np.nan)),
            (self._size, answers.size),
            (self._spread, answers.spread),
        ):
            taken = error | broken | closer
            mine[subject[taken]] = seen[taken]

    def evaluation(
        self,
        setting: Setting,
        *,
        seed: int,
        ids: tuple[str, ...],
        last: LastIterates | None,
        gradients: Gradients,
    ) -> Evaluation:
        """The verdicts, once every job is done.

        Raises:
            RuntimeError: an attack never asked anything within the threat about some image.
        """
        unasked = np.flatnonzero(np.isinf(self._margin))
        if len(unasked):
            raise RuntimeError(f"attack `{setting.key}` asked nothing within its threat about `{ids[unasked[0]]}`")
        with np.errstate(invalid="ignore"):  # an error's margin is NaN, which is never marginal
            marginal = np.abs(self._margin) < MARGINAL * self._spread
        return Evaluation(
            setting=setting,
            seed=seed,
            ids=ids,
            outcome=self._outcome,
            target=self._target,
            restart=self._restart,
            iteration=self._iteration,
            margin=self._margin,
            perturbation=self._size,
            marginal=marginal,
            last=last,
            gradients=gradients,
        )
