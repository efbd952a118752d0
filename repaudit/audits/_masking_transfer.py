"""PGD along the gradients of another network, judged on the one that is audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from repaudit.attacks import Member, Rows, Setting
from repaudit.attacks.pgd import PgdOptions, ProjectedGradient
from repaudit.attacks.threat import Norm, Threat
from repaudit.errors import InvalidModel, InvalidProfile, UsageError
from repaudit.evidence import padded
from repaudit.foreign import contained
from repaudit.sources import load_model

if TYPE_CHECKING:
    from repaudit.audits._masking_parameters import MaskingParameters
    from repaudit.case import Case, Permissions
    from repaudit.classifier import Classifier

NAME = "transfer"


def load_surrogate(asked: MaskingParameters, classifier: Classifier, permissions: Permissions) -> Classifier | None:
    """The model whose gradients are used instead; None where none is asked for.

    Raises:
        InvalidModel: the surrogate cannot be loaded.
        InvalidProfile: it has other classes, or takes other images.
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
            f"masking.surrogate: {error.problem}",
            detail=error.detail,
            remedy=f"{error.remedy or 'another model'}   (of a surrogate: masking.surrogate, masking.surrogate_arch, "
            "masking.surrogate_preprocess)",
        ) from None
    mine, its = ((each.card.classes_count, each.card.preprocess.channels) for each in (classifier, surrogate))
    if mine != its:
        raise InvalidProfile(
            f"masking.surrogate: `{asked.surrogate}` has {its[0]} classes of {its[1]}-channel images, "
            f"the model {mine[0]} of {mine[1]}",
            remedy="--set masking.surrogate=…   a model of the same classes on the same images",
        )
    return surrogate


def transfer(case: Case[MaskingParameters], surrogate: Classifier) -> Setting:
    """The attack with the gradients of the surrogate."""
    asked = case.parameters
    threat = Threat(Norm.LINF, asked.epsilon)
    options = PgdOptions(steps=asked.steps, step_size=asked.epsilon / 4)
    return Setting(
        name=NAME,
        key=NAME,
        threat=threat,
        options=options,
        members=lambda: (Member(NAME, NAME, SurrogateGradient(threat, options, surrogate, case.shape.rows)),),
    )


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
