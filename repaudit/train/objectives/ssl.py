"""Self-supervised rejection: as many classes again for outliers, which choose among them (Mohseni et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from repaudit.train.objectives._contract import Kind
from repaudit.train.objectives._outliers import OutlierOptions, learn_with_outliers, outliers_of
from repaudit.train.targets import one_hot

if TYPE_CHECKING:
    import torch

    from repaudit.train.objectives._contract import Minimised, Step, Surroundings
    from repaudit.train.trainee import Trainee


class RejectionOptions(OutlierOptions):
    """Outliers beside the batch."""

    weight: float = Field(default=1.0, ge=0)
    """Of the outliers' cross-entropy; Virtual Smoothing states none, so ours: an outlier counts as an image does."""


class Rejection:
    """Cross-entropy + weight · cross-entropy of outliers, each labelled with its likeliest reject node.

    The nodes are K real ones, K for outliers and, with virtual smoothing, V virtual ones; what smooths the labels of
    images smooths those of outliers as well.
    """

    def __init__(self, options: RejectionOptions, surroundings: Surroundings) -> None:
        self._weight, self._labelling = options.weight, surroundings.labelling

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """One pass forward and back."""
        return learn_with_outliers(step, trainee, self._weight, self._targets)

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""

    def _targets(self, logits: torch.Tensor) -> torch.Tensor:
        first, count = self._labelling.classes, self._labelling.rejects
        chosen = first + logits[:, first : first + count].argmax(1)
        return self._labelling.soft(one_hot(chosen, first + count))


kind = Kind(
    summary="SSL: outliers choose among as many reject classes as there are real ones (Mohseni et al. 2020)",
    options=RejectionOptions,
    build=Rejection,
    second=outliers_of,
    rejects=lambda classes: classes,
)
