"""How much of a feature can move a difference of logits at all?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.linear_head import centered_rows
from repaudit.metrics.summary import chunks


@dataclass(frozen=True, slots=True)
class RowSpaceShare:
    """Share of squared feature length within a subspace."""

    share: np.ndarray
    """(n,) ‖P f‖²/‖f‖² in [0, 1] of the raw features; NaN where f = 0."""
    centered: float | None
    """Σ‖P(f − f̄)‖² / Σ‖f − f̄‖² in [0, 1] about the mean f̄ of all features; None where all features are equal."""


def contrast_basis(weight: np.ndarray) -> np.ndarray:
    """(d, r) orthonormal basis of the contrast span: rows w_c − w̄, r ≤ c − 1.

    Not span(W): a vector common to all rows moves every logit alike. Singular values below the
    rounding of float32 weights are no directions.
    """
    rows = centered_rows(weight)
    _, values, directions = np.linalg.svd(rows, full_matrices=False)
    smallest = values.max(initial=0.0) * max(rows.shape) * np.finfo(np.float32).eps
    rank = min(int((values > smallest).sum()), len(rows) - 1)
    basis: np.ndarray = directions[:rank].T
    return basis


def row_space_share(features: np.ndarray, norms: np.ndarray, basis: np.ndarray) -> RowSpaceShare:
    """Share of ‖f‖² within the span of an orthonormal basis.

    Args:
        features: (n, d), possibly a memory map; projected in their own precision.
        norms: (n,) ‖f‖.
        basis: (d, r) orthonormal.
    """
    n, width = features.shape
    projector = basis.astype(features.dtype)
    inside = np.empty(n)
    total = np.zeros(width)
    for rows in chunks(n):
        part = np.asarray(features[rows])
        projected = part @ projector
        inside[rows] = np.einsum("ij,ij->i", projected, projected, dtype=np.float64)
        total += part.sum(axis=0, dtype=np.float64)
    mean = total / n
    spread = float((norms**2).sum() - n * mean @ mean)
    spread_inside = float(inside.sum() - n * ((mean @ basis) ** 2).sum())
    with np.errstate(invalid="ignore"):
        share = (inside / norms**2).clip(max=1.0)
    enough = spread > 1e-9 * float((norms**2).sum())
    return RowSpaceShare(share, min(max(spread_inside / spread, 0.0), 1.0) if enough else None)
