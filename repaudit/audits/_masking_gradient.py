"""Does the gradient that attacks follow say how the network really changes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from repaudit.attacks.checks import unchanged
from repaudit.attacks.noise import job_key, step_keys, uniform_in_ball, uniforms
from repaudit.attacks.threat import Norm, Threat
from repaudit.evidence import padded
from repaudit.foreign import contained
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from repaudit.attacks.intake import Subjects
    from repaudit.audits._masking_parameters import MaskingParameters
    from repaudit.case import Case
    from repaudit.classifier import Classifier

DIRECTIONS = 8
"""Random directions an image."""
STEP = 0.5 / 255
"""Half a grey level: kinks of honest networks leave a median cosine above .98, and gradients that are shattered
below the scale of a grey level no longer agree."""
STREAM = "masking.gradient"


def gradient_agreement(case: Case[MaskingParameters], subjects: Subjects) -> np.ndarray:
    """Cosine of autograd's and finite differences' directional derivatives, image by image.

    At a uniform point p of the ball around the image, pulled inside [h, 1 − h], with directions u uniform in
    [−1, 1]^D: autograd ⟨∇CE, u⟩ against (φ(p + h u) − φ(p − h u)) / 2h, h half a grey level, both over the
    directions. φ = log Σ_{j≠y} exp z_j − z_y in float64; CE = log(1 + exp φ) rises with it, so that on each image
    the two gradients point the same way, and φ does not vanish where the network is sure.

    Returns:
        (n,) float64; 0 where one of the two vanishes; NaN where both do, or a logit is not finite.
    """
    threat = Threat(Norm.LINF, case.parameters.epsilon)
    cosines = []
    with unchanged(case.classifier.network), same_kernels(), torch.no_grad():
        for stored in case.images.batches(case.shape.rows, subjects.ids):
            batch = stored.to(case.classifier.device)
            keys = [job_key(case.seed, name, STREAM, target=-1, restart=0) for name in batch.ids]
            on_device = torch.tensor(keys, dtype=torch.int64, device=case.classifier.device)
            images = batch.images
            point = images + uniform_in_ball(threat, step_keys(on_device, 0), images.shape[1:])
            probe = _Probe(case.classifier, point.clamp_(STEP, 1 - STEP), batch.labels, on_device, case.shape.rows)
            cosines.append(probe.cosines().cpu().numpy())
    return np.concatenate(cosines) if cosines else np.empty(0)


class _Probe:
    """Derivatives at one batch of points, always with a full call's rows."""

    def __init__(
        self, classifier: Classifier, points: torch.Tensor, labels: torch.Tensor, keys: torch.Tensor, rows: int
    ) -> None:
        self._classifier, self._points, self._labels = classifier, points, labels
        self._keys, self._rows = keys, rows

    def cosines(self) -> torch.Tensor:
        """(b,) float64."""
        gradient = self._gradient().flatten(1)
        exact, differences = [], []
        for number in range(1, DIRECTIONS + 1):
            direction = uniforms(step_keys(self._keys, number), gradient.shape[1]).mul_(2).sub_(1)
            exact.append((gradient * direction).sum(dim=1))
            step = direction.mul_(STEP).reshape(self._points.shape)
            differences.append(self._height(self._points + step) - self._height(self._points - step))
        left, right = torch.stack(exact, dim=1), torch.stack(differences, dim=1)
        lengths = left.norm(dim=1) * right.norm(dim=1)
        cosines = torch.where(lengths > 0, (left * right).sum(dim=1) / lengths, torch.zeros_like(lengths))
        flat = (left == 0).all(dim=1) & (right == 0).all(dim=1)
        return torch.where(flat | ~lengths.isfinite(), torch.full_like(cosines, torch.nan), cosines)

    def _gradient(self) -> torch.Tensor:
        """(b, c, h, w) float64 of the cross-entropy."""
        query = padded(self._points, self._rows).clone().requires_grad_()
        with torch.enable_grad():
            logits = self._classifier.logits(query)[: len(self._labels)]
            with contained():
                (slope,) = torch.autograd.grad(F.cross_entropy(logits, self._labels, reduction="sum"), query)
        self._classifier.work.backward_rows += len(query)
        return slope[: len(self._labels)].double()

    def _height(self, points: torch.Tensor) -> torch.Tensor:
        """(b,) float64: φ."""
        logits = self._classifier.logits(padded(points, self._rows))[: len(self._labels)].double()
        own = logits.gather(1, self._labels[:, None])
        return torch.logsumexp(logits.scatter(1, self._labels[:, None], -torch.inf), dim=1) - own.squeeze(1)
