"""How far each image is from another class if the network were linear: margin / ‖∇ margin‖ in the dual norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.threat import Norm
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._robustness_relations import ASSOCIATED, correlation
from repaudit.evidence import padded
from repaudit.finding import Measurement, Skipped
from repaudit.foreign import contained
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from repaudit.attacks.verdict import Evaluation
    from repaudit.case import Case, P
    from repaudit.classifier import Classifier

DUAL = {Norm.LINF: 1, Norm.L2: 2}
"""Order of the norm that measures a gradient against perturbations of each norm."""


@dataclass(frozen=True, slots=True)
class LinearDistances:
    """Of the attacked images, or why there is none."""

    by_norm: Mapping[Norm, np.ndarray] | None
    """(n₀,) float64 by the threat's norm, in its units; NaN where the gradient is 0 or not finite."""
    reason: str


def linear_distances(case: Case[P], correct: np.ndarray) -> LinearDistances:
    """Smallest perturbation that takes a linearised network to the runner-up class (Hein & Andriushchenko 2017).

    margin = z_label − max of the others, differentiated at the clean image. For a linear network it is exact. One
    forward and one backward row an image give the distances of every norm.

    Args:
        case: with a classifier through which gradients reach the pixels.
        correct: (n₀,) rows of the attacked images.
    """
    if not len(correct):
        return LinearDistances(None, "no image is classified correctly")
    ids = tuple(case.evidence.ids[row] for row in correct)
    slopes: dict[Norm, list[np.ndarray]] = {norm: [] for norm in DUAL}
    rows = case.shape.rows
    with case.progress.stage("linear distance", len(ids), "images") as stage, same_kernels():
        for batch in case.images.batches(rows, ids):
            there = batch.to(case.classifier.device)
            gradient = _margin_gradient(case.classifier, padded(there.images, rows), there.labels)
            for norm, order in DUAL.items():
                slopes[norm].append(_lengths(gradient, order))
            stage.advance(len(gradient))
    margin = case.evidence.summary.margin[correct]
    return LinearDistances({norm: _over(margin, np.concatenate(parts)) for norm, parts in slopes.items()}, "")


def distance_finding(evaluation: Evaluation, distances: LinearDistances) -> Measurement | Skipped:
    """Whether images farther from the linearised boundary are broken less often.

    Args:
        evaluation: of one attack.
        distances: of the same images.
    """
    key, norm = f"robustness.{evaluation.setting.key}.linear_distance_spearman", evaluation.setting.threat.norm
    if distances.by_norm is None:
        return Skipped(key=key, reason=distances.reason)
    judged, values = evaluation.outcome != CODES[Outcome.ERROR], distances.by_norm[norm]
    usable = judged & np.isfinite(values)
    success = (evaluation.outcome[usable] == CODES[Outcome.BROKEN]).astype(np.float64)
    note = f"success against margin/‖∇ margin‖, norm of order {DUAL[norm]}, at the clean image"
    left_out = int((judged & ~usable).sum())
    if left_out:
        note += f", {left_out} images left out: gradient 0 or not finite"
    return correlation(key, success, values[usable], f"{note}; {ASSOCIATED}", rank=True)


def _margin_gradient(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(b, c·h·w): of each image's margin with respect to its own pixels; `images` may hold padding after the b."""
    query, own = images.detach().requires_grad_(), labels[:, None]
    with torch.enable_grad(), contained():
        logits = classifier.logits(query)[: len(labels)]
        rival = logits.detach().scatter(1, own, -torch.inf).argmax(dim=1, keepdim=True)
        margin = logits.gather(1, own) - logits.gather(1, rival)
        (gradient,) = torch.autograd.grad(margin.sum(), query)
    classifier.work.backward_rows += len(query)
    return gradient[: len(labels)].flatten(1)


def _lengths(gradient: torch.Tensor, order: int) -> np.ndarray:
    lengths: np.ndarray = torch.linalg.vector_norm(gradient, order, dim=1, dtype=torch.float64).cpu().numpy()
    return lengths


def _over(margin: np.ndarray, slope: np.ndarray) -> np.ndarray:
    usable = np.isfinite(slope) & (slope > 0)
    distance: np.ndarray = np.divide(margin, slope, out=np.full(len(margin), np.nan), where=usable)
    return distance
