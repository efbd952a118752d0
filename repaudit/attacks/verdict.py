"""What counts as a success, and the verdicts that follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.report import attack_codes

if TYPE_CHECKING:
    from repaudit.attacks import Setting
    from repaudit.attacks.threat import Threat

MARGINAL = 1e-4
"""Share of the spread of an image's logits below which a margin may change sign in another evaluation shape."""


Outcome = attack_codes.AttackOutcome
NOT_ATTACKED, CODES = attack_codes.NOT_ATTACKED, attack_codes.CODES


@dataclass(frozen=True, slots=True)
class LastIterates:
    """Features of some images under attack.

    Of a single attack: at the last iterate of the first job, broken on the way or not. Of a protocol: at the
    deciding query of the images that it broke.
    """

    position: np.ndarray
    """(k,) int64, rising: which of the evaluation's images."""
    features: np.ndarray
    """(k, d) float32."""


class Witness(ABC):
    """Sees how kept images move, query by query of their first job."""

    @abstractmethod
    def saw(self, subject: np.ndarray, iteration: np.ndarray, features: np.ndarray | None, logits: np.ndarray) -> None:
        """Takes the network's answers to some queries.

        Args:
            subject: (r,) int64, positions in the evaluation's ids; no image occurs twice.
            iteration: (r,) int64, queries of the job that were answered before.
            features: (r, d) float32, or None without a linear head.
            logits: (r, c) float32.
        """


@dataclass(frozen=True, slots=True)
class Gradients:
    """Rows of backward passes up to the deciding queries, and what was odd about them."""

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
    members: tuple[str, ...]
    """Attacks of the setting by name, in their order; one unless it is a protocol."""
    member: np.ndarray
    """(n,) int64: which of them the deciding job belongs to."""
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
    gain: np.ndarray
    """(n,) float64: over the first job, its best objective − the objective at its first query; NaN where it had
    fewer than two gradients."""
    eight_bit: np.ndarray
    """(n,) int8: 1 where the deciding query of a broken image, rounded to 8 bits towards the image, is still
    misclassified, 0 where not, −1 where it was not asked."""
    notes: tuple[str, ...]
    """What its attacks do otherwise than their names say, such as fewer targets on few classes."""
    last: LastIterates | None
    """Of the kept images; None without a linear head."""
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
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    figures = torch.stack(
        [
            own.squeeze(1).double() - others.double(),
            logits.amax(dim=1).double() - logits.amin(dim=1).double(),  # NaN or infinite as soon as one logit is
            threat.size(perturbation),
            (logits.argmax(dim=1) != labels).double(),
        ]
    )
    margin, spread, size, wrong = figures.cpu().numpy()  # one transfer for the whole call
    finite = np.isfinite(spread)
    return Answers(finite, finite & (wrong > 0), threat.contains(size), margin, size, spread)


PER_IMAGE = (
    "outcome",
    "member",
    "target",
    "restart",
    "iteration",
    "margin",
    "perturbation",
    "marginal",
    "gain",
    "eight_bit",
)
"""Columns of an `Evaluation`."""


def with_smaller(found: Evaluation, smaller: Evaluation) -> Evaluation:
    """The verdicts of one radius, given those of a smaller one on at least the same images.

    What a smaller radius broke is broken at a larger one, by the same query; the rest is as found.

    Args:
        found: of the larger radius, on the images that the smaller one left and perhaps some more.
        smaller: of the smaller radius, on all images in question.
    """
    place = {name: row for row, name in enumerate(found.ids)}
    rows = np.array([place.get(name, -1) for name in smaller.ids], dtype=np.int64)
    broken = smaller.outcome == CODES[Outcome.BROKEN]
    unknown = [smaller.ids[row] for row in np.flatnonzero(~broken & (rows < 0))]
    if unknown:
        raise ValueError(f"`{unknown[0]}` was neither broken at the smaller radius nor attacked at the larger one")
    columns = {}
    for name in PER_IMAGE:
        before = getattr(smaller, name)
        columns[name] = before if not len(found.ids) else np.where(broken, before, getattr(found, name)[rows])
    last = None
    if found.last is not None:
        back = {name: row for row, name in enumerate(smaller.ids)}
        position = np.array([back[found.ids[row]] for row in found.last.position], dtype=np.int64)
        order = np.argsort(position)
        last = LastIterates(position[order], found.last.features[order])
    return replace(found, ids=smaller.ids, last=last, **columns)
