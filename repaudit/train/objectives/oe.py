"""Outlier exposure: nothing is to be believed of images that belong to no class (Hendrycks et al. 2019)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch.nn import functional as F

from repaudit.errors import InvalidRecipe
from repaudit.train.objectives._contract import Kind, Minimised
from repaudit.train.objectives._outliers import OutlierOptions, learn_with_outliers, outliers_of

if TYPE_CHECKING:
    from repaudit.train.objectives._contract import Step, Surroundings
    from repaudit.train.targets import Labelling
    from repaudit.train.trainee import Trainee


class OutlierLabels(StrEnum):
    """What an outlier is said to be."""

    UNIFORM = "uniform"
    """1 / K of each real class: outlier exposure itself."""
    VS1 = "vs1"
    """(1 − α) / K of each real class and α / V of each virtual one."""
    VS2 = "vs2"
    """1 / V of each virtual class and of no real one."""


class ExposureOptions(OutlierOptions):
    """As published; Virtual Smoothing goes with α = .05."""

    weight: float = Field(default=0.5, ge=0)
    """Of the outliers' cross-entropy."""
    labels: OutlierLabels = OutlierLabels.UNIFORM
    """uniform, or with `--reg vs` vs1 or vs2."""


class OutlierExposure:
    """Cross-entropy + weight · cross-entropy of outliers with labels that mean: none of these."""

    def __init__(self, options: ExposureOptions, surroundings: Surroundings) -> None:
        labelling = surroundings.labelling
        if options.labels is not OutlierLabels.UNIFORM and not labelling.virtual:
            raise InvalidRecipe(
                f"objective.labels is {options.labels}, and the method has no virtual classes",
                detail="outliers would be put into classes that are not there",
                remedy="--reg vs, or --set objective.labels=uniform",
            )
        self._weight, self._row = options.weight, outlier_row(labelling, options.labels)

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """One pass forward and back."""
        return learn_with_outliers(step, trainee, self._weight, self._targets)

    def after(self, trainee: Trainee) -> None:
        """Nothing is left to do."""

    def _targets(self, logits: torch.Tensor) -> torch.Tensor:
        return self._row.to(logits.device).expand(len(logits), -1)


def outlier_row(labelling: Labelling, labels: OutlierLabels) -> torch.Tensor:
    """(1, K + V) target of every outlier; sums to 1."""
    real = torch.full((1, labelling.classes), 1 / labelling.classes)
    match labels:
        case OutlierLabels.UNIFORM:
            return F.pad(real, (0, labelling.virtual))
        case OutlierLabels.VS1:
            return labelling.soft(real)
        case OutlierLabels.VS2:
            return torch.cat([torch.zeros_like(real), torch.full((1, labelling.virtual), 1 / labelling.virtual)], 1)


kind = Kind(
    summary="OE: cross-entropy + uniform labels on outliers (Hendrycks et al. 2019)",
    options=ExposureOptions,
    build=OutlierExposure,
    second=outliers_of,
)
