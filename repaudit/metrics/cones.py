"""Are decision regions cones? How far a feature can shrink, or grow, along its ray before the answer changes.

A head without a bias has exactly conical regions: scaling a feature scales every logit alike. With a
bias, the logits at scale s are s·A + b with A = z − b, and each rival class j wins on one side of
s = (b_j − b_y) / (A_y − A_j). So the whole walk to the origin has a closed form and needs no steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.summary import chunks

STEPS = 100
"""Uniform steps from a feature to the origin (RS, appendix C)."""

_ROWS = 128
"""Rows handled at a time: 1 MB of float64 at c = 1000, which stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class RayLimits:
    """Between which scales of its feature each image keeps its label."""

    lower: np.ndarray
    """(n,) s_lo in [0, 1]: misclassified exactly at scales s < s_lo; NaN where the image is wrong at s = 1."""
    upper: np.ndarray
    """(n,) s_hi in [1, ∞]: misclassified at scales s > s_hi; ∞ where the label holds however far the feature
    grows, so that the bias-free head agrees; NaN where the image is wrong at s = 1."""


@dataclass(frozen=True, slots=True)
class ErrorSteps:
    """Where on the way to the origin each image is first misclassified."""

    step: np.ndarray
    """(n,) float64, 1..100 (100 is the origin, and also stands for never); NaN where the image is wrong at first."""
    never: np.ndarray
    """(n,) bool: right at the start and at every step, the origin included."""


def ray_limits(logits: np.ndarray, bias: np.ndarray, labels: np.ndarray, correct: np.ndarray) -> RayLimits:
    """Scales at which correctly classified features lose their label, in closed form.

    s_lo = max(0, max over {j: b_j > b_y} of (b_j − b_y)/(A_y − A_j)) and
    s_hi = min over {j: A_j > A_y} of (b_y − b_j)/(A_j − A_y), A = z − b. In float64: A cancels in float32.
    A rival that only draws level does not win, so that exact ties never shorten a ray.

    Args:
        logits: (n, c), possibly a memory map.
        bias: (c,) of the head.
        labels: (n,) class indices.
        correct: (n,) bool, which images the network classifies correctly.

    Source: RS (arXiv 2410.03999), appendix C asks the question by 100 steps.
    """
    exact_bias = bias.astype(np.float64)
    lower, upper = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    asked = np.flatnonzero(correct)
    for part in chunks(len(asked), _ROWS):
        rows = asked[part]
        label = labels[rows]
        alone = logits[rows] - exact_bias
        lead = alone[np.arange(len(rows)), label][:, None] - alone
        handicap = exact_bias - exact_bias[label][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = handicap / lead
        lower[rows] = np.where(handicap > 0, crossing, 0.0).max(axis=1).clip(max=1.0)
        upper[rows] = np.where(lead < 0, crossing, np.inf).min(axis=1).clip(min=1.0)
    return RayLimits(lower, upper)


def first_error_steps(lower: np.ndarray, steps: int = STEPS) -> ErrorSteps:
    """First of `steps` uniform steps to the origin at which an image is misclassified: s_i = 1 − i/steps < s_lo.

    Equals min(floor(steps·(1 − s_lo)) + 1, steps), except that the comparison is made with the very
    scales of the walk, so that rounding in 1 − s_lo cannot shift a step.

    Args:
        lower: (n,) s_lo of `ray_limits`, NaN where the image is wrong at first.
        steps: how many.
    """
    asked = ~np.isnan(lower)
    scales = np.arange(steps) / steps
    below = np.searchsorted(scales, np.where(asked, lower, 0.0), side="left")
    step = np.where(asked, np.minimum(steps + 1 - below, steps), np.nan)
    return ErrorSteps(step, asked & (below == 0))
