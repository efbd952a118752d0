"""Adversarials planted where the attack must find them (Zimmermann, Brendel, Tramèr & Carlini 2022, section 3).

Every image gets a binary classifier of its own, a readout on the network's features, under which a point on the
edge of the ball is known to be an adversarial. An attack that misses it proves nothing where it finds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.checks import unchanged
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.noise import job_key, step_keys, uniforms
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._masking_numbered import Numbered, binary_classifier
from repaudit.audits._masking_readout import fit
from repaudit.audits._masking_searches import iterated, noise
from repaudit.evidence import padded
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks import Setting
    from repaudit.audits._masking_parameters import MaskingParameters
    from repaudit.case import Case

INNER = 33
"""Points inside, the image itself among them."""
INSIDE = 0.95
"""Radius of the inner points, in units of the ball's."""
LARGEST = 0.45
"""Radius up to which an image's number survives the search."""
STREAM = "masking.planted"


@dataclass(frozen=True, slots=True)
class Planted:
    """How searches for planted adversarials ended."""

    n: int
    """Images for which a readout was sought."""
    found: np.ndarray
    """(m,) bool: by PGD; m images have a readout."""
    chance: np.ndarray
    """(m,) bool: by random search with as many queries; nothing is learnt from these."""


def planted(case: Case[MaskingParameters], subjects: Subjects) -> Planted:
    """Plants one adversarial an image, and searches for each at random and by PGD.

    Args:
        case: with a classifier that has a linear head, and a radius of at most `LARGEST`.
        subjects: the images; their labels play no part.
    """
    readouts = {name: fit(seen[:-1], seen[-1]) for name, seen in points(case, subjects)}
    fitted = {name: readout for name, readout in readouts.items() if readout is not None}
    if not fitted:
        return Planted(len(readouts), np.empty(0, dtype=bool), np.empty(0, dtype=bool))
    images = Numbered(case.images, tuple(fitted))
    binary = binary_classifier(case.classifier, tuple(fitted.values()))
    targets = Subjects(ids=images.ids, labels=images.labels, logits=np.zeros((len(fitted), 2), dtype=np.float32))

    def broken(setting: Setting, told: str) -> np.ndarray:
        evaluation = evaluate(
            binary,
            images,
            targets,
            setting,
            seed=case.seed,
            shape=case.shape,
            progress=case.progress,
            purpose=f"gradient masking: {told} for planted adversarials",
        )
        return np.asarray(evaluation.outcome == CODES[Outcome.BROKEN])

    epsilon, steps = case.parameters.epsilon, case.parameters.steps
    chance = broken(noise(epsilon, steps + 1), "random search")
    found = broken(iterated(epsilon, steps, key="planted"), "PGD")
    case.classifier.work.backward_rows += binary.work.backward_rows
    return Planted(len(readouts), found, chance)


def points(case: Case[MaskingParameters], subjects: Subjects) -> Iterator[tuple[str, np.ndarray]]:
    """For each image (INNER + 1, d) features: of the image, of points inside, of a corner of the ball."""
    rows, classifier = case.shape.rows, case.classifier
    with unchanged(classifier.network), same_kernels(), torch.no_grad():
        for stored in case.images.batches(rows, subjects.ids):
            batch = stored.to(classifier.device)
            keys = [job_key(case.seed, name, STREAM, target=-1, restart=0) for name in batch.ids]
            on_device = torch.tensor(keys, dtype=torch.int64, device=classifier.device)
            answered = []
            for number in range(INNER + 1):
                moved = planted_point(batch.images, on_device, number, case.parameters.epsilon)
                answered.append(classifier.features(padded(moved, rows))[: len(keys)].cpu().numpy())
            yield from zip(batch.ids, np.stack(answered, axis=1), strict=True)


def planted_point(images: torch.Tensor, keys: torch.Tensor, number: int, epsilon: float) -> torch.Tensor:
    """The number-th point around each image: itself, then points inside, a corner at last; within [0, 1]."""
    if number == 0:
        return images
    drawn = uniforms(step_keys(keys, number), images[0].numel()).mul_(2).sub_(1)
    change = drawn.sign_().mul_(epsilon) if number == INNER else drawn.mul_(INSIDE * epsilon)
    return change.reshape(images.shape).add_(images).clamp_(0, 1)
