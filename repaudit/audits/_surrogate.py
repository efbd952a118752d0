"""PGD along the gradients of another network, judged on the one that is audited."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from repaudit.attacks import Member, Rows, Setting
from repaudit.attacks.pgd import PgdOptions, ProjectedGradient
from repaudit.case import Parameters
from repaudit.classifier import Capability
from repaudit.errors import InvalidModel, InvalidProfile, UsageError
from repaudit.evidence import evidence_identity, padded
from repaudit.foreign import contained, said
from repaudit.sources import load_model

if TYPE_CHECKING:
    from repaudit.attacks.threat import Threat
    from repaudit.case import Case, P, Permissions
    from repaudit.classifier import Classifier

NAME = "transfer"


class SurrogateParameters(Parameters):
    """Which network gives the gradients."""

    surrogate: str | None = None
    """Model reference of a network of the same classes whose gradients are followed; None skips what needs them."""
    surrogate_arch: str | None = None
    """Architecture of the surrogate, where it is a checkpoint."""
    surrogate_preprocess: str | None = None
    """Preprocessing of the surrogate, as in --preprocess."""


def load_surrogate(
    audit: str, asked: SurrogateParameters, classifier: Classifier, permissions: Permissions
) -> Classifier | None:
    """The model whose gradients are followed; None where none is asked for.

    Args:
        audit: id of the audit that asks, for errors.
        asked: its parameters.
        classifier: the audited model.
        permissions: what may be done to load another.

    Raises:
        InvalidModel: the surrogate cannot be loaded.
        InvalidProfile: it has other classes, takes other images, or gives no gradients.
    """
    if asked.surrogate is None:
        return None
    try:
        surrogate = load_model(
            asked.surrogate,
            arch=asked.surrogate_arch,
            preprocess=asked.surrogate_preprocess,
            device=str(classifier.device),
            offline=permissions.offline,
            trust_pickle=permissions.trust_pickle,
        )
    except UsageError as error:
        raise InvalidModel(
            f"{audit}.surrogate: {error.problem}",
            detail=error.detail,
            remedy=f"{error.remedy or 'another model'}   (of a surrogate: {audit}.surrogate, {audit}.surrogate_arch, "
            f"{audit}.surrogate_preprocess)",
        ) from None
    problem = _misfit(surrogate, classifier)
    if problem:
        raise InvalidProfile(
            f"{audit}.surrogate: `{asked.surrogate}` {problem}",
            remedy=f"--set {audit}.surrogate=…   a model with gradients, of the same classes on the same images",
        )
    return surrogate


def along(surrogate: Classifier, threat: Threat, options: PgdOptions, rows: int) -> Setting:
    """The attack with the gradients of the surrogate, which is asked about `rows` images at a time."""
    return Setting(
        name=NAME,
        key=NAME,
        threat=threat,
        options=options,
        members=lambda: (Member(NAME, NAME, SurrogateGradient(threat, options, surrogate, rows)),),
    )


def identity(case: Case[P], surrogate: Classifier) -> str:
    """sha256 of all that can move the surrogate's gradients on the images of a case."""
    known = evidence_identity(surrogate, case.images, rows=case.shape.rows, dtype=torch.float32)
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class SurrogateGradient(ProjectedGradient):
    """PGD on the surrogate's cross-entropy; the audited network only judges the iterates."""

    directions: Literal[0, 1] = 0

    def __init__(self, threat: Threat, options: PgdOptions, surrogate: Classifier, rows: int) -> None:
        super().__init__(threat, options)
        self._surrogate, self._rows = surrogate, rows

    def update(
        self, rows: Rows, logits: torch.Tensor, objective: torch.Tensor | None, gradient: torch.Tensor | None
    ) -> None:
        """One projected step along the surrogate's gradient; what is not finite in it is taken for 0."""
        query = padded(self.propose(rows), self._rows).clone().requires_grad_()
        with torch.enable_grad(), contained():
            answered = self._surrogate.logits(query)[: len(rows)]
            (slope,) = torch.autograd.grad(F.cross_entropy(answered, rows.labels, reduction="sum"), query)
        super().update(rows, logits, None, slope[: len(rows)].nan_to_num(0.0, 0.0, 0.0))


def _misfit(surrogate: Classifier, classifier: Classifier) -> str:
    """Why its gradients cannot be followed on the model's images; empty where they can."""
    mine, its = ((each.card.classes_count, each.card.preprocess.channels) for each in (classifier, surrogate))
    if mine != its:
        return f"has {its[0]} classes of {its[1]}-channel images, the model {mine[0]} of {mine[1]}"
    if Capability.GRADIENTS not in surrogate.capabilities:
        return "gives no gradients"
    size = classifier.card.preprocess.size or classifier.card.checked_size
    if size is None or size == surrogate.card.preprocess.size:
        return ""
    try:
        with torch.no_grad():
            surrogate.logits(torch.full((2, its[1], *size), 0.5, device=surrogate.device))
    except Exception as error:  # a network's way to say that the size is another
        return f"does not take the model's images of {size[0]}×{size[1]} ({said(error)})"
    return ""
