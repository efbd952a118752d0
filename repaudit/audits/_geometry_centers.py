"""The candidates for a class's centre, and how well each was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from repaudit.audits._geometry_measure import NO_CORRECT, Split
from repaudit.case import Parameters
from repaudit.finding import FigureValue
from repaudit.metrics.centers import ClassMeans, class_means, descent_centers
from repaudit.metrics.frank_wolfe import ITERATIONS, TOLERANCE, SphereCenters, sphere_centers
from repaudit.metrics.linear_head import centered_rows


class GeometryParameters(Parameters):
    """How the minimum-loss centre is found."""

    center: Literal["sphere", "sgd"] = "sphere"
    """`sphere`: least loss on ‖f‖ ≤ R, R the mean norm of correct features. `sgd`: plain descent from zero."""
    tolerance: float = Field(default=TOLERANCE, gt=0)
    """`sphere`: duality gap, in nats, at which to stop."""
    iterations: int = Field(default=ITERATIONS, ge=1)
    """`sphere`: at most so many Frank–Wolfe steps."""
    sgd_learning_rate: float = Field(default=0.01, gt=0)
    """`sgd`: length of a step, in units of the gradient."""
    sgd_steps: int = Field(default=100, ge=1)
    """`sgd`: how many steps."""
    sgd_schedule: Literal["constant", "cosine"] = "constant"
    """`sgd`: whether the learning rate stays, or falls to 0 along a cosine."""


@dataclass(frozen=True, slots=True)
class Centers:
    """Rows by class; NaN where a class has no centre."""

    class_mean: ClassMeans
    """Over initially correct images."""
    weight_vector: np.ndarray
    """(c, d) raw rows."""
    weight_centered: np.ndarray
    """(c, d) w_c − w̄."""
    minimum_loss: np.ndarray | None
    """(c, d); None where no image is correct, so that there is no radius."""
    minimum_loss_reason: str
    """Why there is none, else empty."""
    unsolved: int
    """Classes whose minimum-loss point did not reach the tolerance."""
    diagnostics: Mapping[str, FigureValue]
    """For the figure: radius, iterations, certificates and counts."""

    def rows(self) -> dict[str, np.ndarray]:
        """The candidates that exist, by metric name."""
        found = {
            "class_mean": self.class_mean.means,
            "weight_vector": self.weight_vector,
            "weight_centered": self.weight_centered,
        }
        if self.minimum_loss is not None:
            found["minimum_loss"] = self.minimum_loss
        return found


@dataclass(frozen=True, slots=True)
class _MinimumLoss:
    rows: np.ndarray | None
    reason: str
    unsolved: int
    diagnostics: Mapping[str, FigureValue]


def find_centers(split: Split, parameters: GeometryParameters) -> Centers:
    """Finds all candidates, for the classes that occur as a label or a prediction."""
    correct = split.summary.correct
    means = class_means(split.features, split.labels, correct, len(split.weight))
    asked = np.union1d(split.labels, split.summary.prediction)
    minimum = (_sphere if parameters.center == "sphere" else _descent)(split, parameters, asked)
    lengths = np.linalg.norm(split.weight.astype(np.float64), axis=1)
    common = np.linalg.norm(split.weight.astype(np.float64).mean(axis=0))
    without = int((means.counts[np.unique(split.labels)] == 0).sum())
    diagnostics: dict[str, FigureValue] = {
        "class_mean": {
            "classes_without_correct_images": without,
            "classes_with_fewer_than_20": int(((means.counts > 0) & (means.counts < 20)).sum()),
        },
        "weight_vector": {"common_row_norm_ratio": float(common / lengths.mean()) if lengths.any() else None},
        "minimum_loss": minimum.diagnostics,
        "features_of_norm_zero": int((split.norms == 0).sum()),
    }
    return Centers(
        class_mean=means,
        weight_vector=split.weight.astype(np.float64),
        weight_centered=centered_rows(split.weight),
        minimum_loss=minimum.rows,
        minimum_loss_reason=minimum.reason,
        unsolved=minimum.unsolved,
        diagnostics=diagnostics,
    )


def _sphere(split: Split, parameters: GeometryParameters, asked: np.ndarray) -> _MinimumLoss:
    norms = split.norms[split.summary.correct]
    if not norms.any():
        reason = "every correct feature is 0" if len(norms) else NO_CORRECT
        return _MinimumLoss(None, f"{reason}, so the ball has no radius", 0, {"mode": "sphere", "reason": reason})
    found = sphere_centers(
        split.weight,
        split.bias,
        float(norms.mean()),
        asked,
        tolerance=parameters.tolerance,
        iterations=parameters.iterations,
    )
    unsolved = int((found.gap[asked] > parameters.tolerance).sum())
    return _MinimumLoss(found.directed, "", unsolved, _sphere_diagnostics(found, asked, unsolved))


def _sphere_diagnostics(found: SphereCenters, asked: np.ndarray, unsolved: int) -> Mapping[str, FigureValue]:
    on_sphere = asked[~found.interior[asked]]
    return {
        "mode": "sphere",
        "start": "zero",
        "radius": found.radius,
        "classes": len(asked),
        "iterations_median": float(np.median(found.iterations[asked])),
        "iterations_max": int(found.iterations[asked].max()),
        "worst_gap": float(found.gap[asked].max()),
        "worst_one_minus_cosine": float(found.misalignment[on_sphere].max()) if len(on_sphere) else None,
        "classes_interior": int(found.interior.sum()),
        "classes_without_direction": int(found.directionless.sum()),
        "classes_unsolved": unsolved,
    }


def _descent(split: Split, parameters: GeometryParameters, asked: np.ndarray) -> _MinimumLoss:
    found = descent_centers(
        split.weight,
        split.bias,
        asked,
        learning_rate=parameters.sgd_learning_rate,
        steps=parameters.sgd_steps,
        schedule=parameters.sgd_schedule,
    )
    diagnostics: dict[str, FigureValue] = {
        "mode": "sgd",
        "start": "zero",
        "reduction": "sum over classes",
        "learning_rate": parameters.sgd_learning_rate,
        "steps": parameters.sgd_steps,
        "schedule": parameters.sgd_schedule,
        "classes": len(asked),
        "mean_norm": float(np.linalg.norm(found.points[asked], axis=1).mean()),
        "mean_loss": float(found.loss[asked].mean()),
    }
    return _MinimumLoss(found.points, "", 0, diagnostics)
