"""What TRADES, AWP and RST share: cross-entropy on clean images and their distance to the worst ones nearby."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import Field
from torch.nn import functional as F

from repaudit.train.objectives._attack import AttackOptions, against_answer, nearby_start, start_keys
from repaudit.train.objectives._contract import Minimised
from repaudit.train.targets import entropy, one_hot, soft_cross_entropy

if TYPE_CHECKING:
    from repaudit.train.objectives._contract import Step, Surroundings
    from repaudit.train.targets import Labelling
    from repaudit.train.trainee import Trainee


class TradesOptions(AttackOptions):
    """As its paper has them; Virtual Smoothing raises β to 12 on ten classes and to 18 on a hundred."""

    beta: float = Field(default=6.0, ge=0)
    """Weight of the divergence."""


class Pairs(NamedTuple):
    """Clean images and the worst ones found near them."""

    images: torch.Tensor
    """(2b, c, h, w), the clean ones first."""
    targets: torch.Tensor
    """(b, nodes)."""


def trades_loss(logits: torch.Tensor, targets: torch.Tensor, beta: float) -> torch.Tensor:
    """Cross-entropy + β · KL(p(x) ‖ p(x')), the mean over images and over all nodes (Zhang et al. 2019, eq. 5).

    Gradients flow through both answers.

    Args:
        logits: (2b, nodes), of the clean images first.
        targets: (b, nodes), rows sum to 1.
        beta: ≥ 0.
    """
    clean, worse = logits.float().chunk(2)
    divergence = F.kl_div(worse.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
    return soft_cross_entropy(clean, targets) + beta * divergence


class Trades:
    """The loss of TRADES on one joint batch of clean and worse images, those of a second set included.

    Both halves go through the network in one pass, because processes that train together exchange gradients in one
    pass a step. Batch normalisation therefore sees clean and worse images together and compares like with like; the
    authors' code makes two passes, each with statistics of its own.
    """

    def __init__(self, options: TradesOptions, surroundings: Surroundings) -> None:
        self._beta, self._search = options.beta, options

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """A search in evaluation mode, then one pass forward and back."""
        return self._learn(self._pairs(step, trainee), trainee)

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""

    def _pairs(self, step: Step, trainee: Trainee) -> Pairs:
        images, targets = _pooled(step, trainee.labelling)
        start = nearby_start(images, start_keys(step))
        worse = against_answer(trainee, images, start, self._search)
        return Pairs(torch.cat([images, worse]), targets)

    def _learn(self, pairs: Pairs, trainee: Trainee) -> Minimised:
        loss = trades_loss(trainee.learn(pairs.images), pairs.targets, self._beta)
        loss.backward()  # type: ignore[no-untyped-call]
        return Minimised(loss.detach(), entropy(pairs.targets))


def _pooled(step: Step, labelling: Labelling) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and targets of a batch with those of the second set behind them."""
    if step.extra is None:
        return step.images, step.targets
    targets = labelling.soft(one_hot(step.extra.labels, labelling.classes))
    return torch.cat([step.images, step.extra.images]), torch.cat([step.targets, targets])
