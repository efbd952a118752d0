"""PGD along the gradients of another network, judged on the one that is audited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from repaudit.attacks import Member, Rows, Setting
from repaudit.attacks.pgd import PgdOptions, ProjectedGradient
from repaudit.attacks.threat import Norm, Threat
from repaudit.errors import InvalidProfile
from repaudit.evidence import padded
from repaudit.foreign import contained
from repaudit.sources import load_model

if TYPE_CHECKING:
    from repaudit.audits._masking_parameters import MaskingParameters
    from repaudit.case import Case
    from repaudit.classifier import Classifier

NAME = "transfer"


def transfer(case: Case[MaskingParameters], ref: str) -> Setting:
    """The attack with the gradients of the model `ref`.

    Raises:
        InvalidModel: the surrogate cannot be loaded.
        InvalidProfile: it has other classes, or takes other images.
    """
    asked, card = case.parameters, case.classifier.card
    surrogate = load_model(
        ref,
        arch=asked.surrogate_arch,
        preprocess=asked.surrogate_preprocess,
        device=str(case.classifier.device),
        offline=case.permissions.offline,
        trust_pickle=case.permissions.trust_pickle,
    )
    other = surrogate.card
    mine, its = ((each.classes_count, each.preprocess.channels) for each in (card, other))
    if mine != its:
        raise InvalidProfile(
            f"surrogate `{ref}` has {its[0]} classes of {its[1]}-channel images, the model {mine[0]} of {mine[1]}",
            remedy="--set masking.surrogate=…   a model of the same classes on the same images",
        )
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
