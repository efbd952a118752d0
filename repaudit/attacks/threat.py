"""How far an image may be moved: a norm and a radius, in units of pixels in [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np
import torch

from repaudit.errors import InvalidProfile

TOLERANCE = 1e-6
"""How far outside the ball a query may lie and still count: room for float32 rounding, nothing else."""
NEAR = 0.02
"""Relative distance from k/255 at which a decimal is taken for a rounded fraction."""


class Norm(StrEnum):
    """How the size of a perturbation is measured, over all pixels and channels of one image."""

    LINF = "linf"
    """Largest absolute change of any value."""
    L2 = "l2"
    """Euclidean length."""


@dataclass(frozen=True, slots=True)
class Threat:
    """The ball of perturbations that an attack may use."""

    norm: Norm
    epsilon: float
    """Radius, above 0; at most 1 for `linf`."""

    def size(self, perturbation: torch.Tensor) -> torch.Tensor:
        """(r,) float64: the norm of each row of (r, …)."""
        flat = perturbation.flatten(1)
        if self.norm is Norm.LINF:
            return largest(flat).double()
        length: torch.Tensor = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)
        return length

    def contains(self, size: np.ndarray) -> np.ndarray:
        """(r,) bool: sizes that lie within the radius, up to rounding; NaN never does."""
        inside: np.ndarray = size <= self.epsilon + TOLERANCE
        return inside

    def project(self, perturbation: torch.Tensor) -> torch.Tensor:
        """The nearest perturbation within the ball, row by row."""
        if self.norm is Norm.LINF:
            return perturbation.clamp(-self.epsilon, self.epsilon)
        shrink = (self.epsilon / self.size(perturbation)).clamp(max=1.0)
        return perturbation * _per_row(shrink, perturbation)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """The direction of unit norm along which a linear function rises fastest; zero where the gradient is zero.

        `linf`: the sign of each value. `l2`: the gradient divided by its length, however short that is.
        """
        if self.norm is Norm.LINF:
            return gradient.sign()
        length = self.size(gradient)
        inverse = torch.where(length > 0, 1 / length, torch.zeros_like(length))
        # in float64: the inverse of a length below 1e-38 is no float32
        return (gradient.double() * inverse.reshape(-1, *[1] * (gradient.ndim - 1))).to(gradient.dtype)


def largest(values: torch.Tensor) -> torch.Tensor:
    """(…), the largest absolute value along the last dimension of (…, n), made without a copy of all."""
    return torch.maximum(values.amax(dim=-1), -values.amin(dim=-1))


def parse_length(raw: object) -> float:
    """A length such as `8/255`, `0.5/255` or `0.03`, as text or number.

    Raises:
        ValueError: it is neither, or not above 0.
    """
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"a length is a fraction such as 8/255 or a number; got {raw!r}")
    try:
        numerator, slash, denominator = str(raw).partition("/")
        length = float(Fraction(numerator.strip()) / Fraction(denominator.strip() if slash else 1))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"a length is a fraction such as 8/255 or a number; got {raw!r}") from None
    if not length > 0:
        raise ValueError(f"a length must be above 0; got {raw!r}")
    return length


def parse_threat(norm: object, epsilon: object) -> Threat:
    """The threat of a profile.

    Raises:
        InvalidProfile: an unknown norm, or a radius that is no length or covers every image.
    """
    if norm not in set(Norm):
        raise InvalidProfile(f"`{norm}` is no norm of a perturbation", remedy="norm: linf   (or l2)")
    try:
        radius = parse_length(epsilon)
    except ValueError as error:
        raise InvalidProfile(f"epsilon cannot be {epsilon!r}", detail=str(error), remedy="epsilon: 8/255") from None
    if norm == Norm.LINF and radius > 1:
        raise InvalidProfile(
            f"epsilon {epsilon} is more than the whole range of a pixel",
            detail="Pixels lie in [0, 1]; a change of 8 grey levels of 255 is 8/255.",
            remedy=f"epsilon: {radius:g}/255" if radius <= 255 else "epsilon: 8/255",
        )
    return Threat(Norm(str(norm)), radius)


def rounded_fraction(epsilon: float) -> str | None:
    """`8/255` for 0.031: the fraction that a decimal probably stands for, where the two differ."""
    levels = round(epsilon * 255)
    if not 1 <= levels <= 32 or math.isclose(epsilon * 255, levels, rel_tol=1e-9):
        return None
    return f"{levels}/255" if math.isclose(epsilon * 255, levels, rel_tol=NEAR) else None


def _per_row(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
