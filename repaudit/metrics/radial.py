"""How much of a feature's displacement runs along the feature itself (the mechanism of arXiv 2410.03999)."""

from __future__ import annotations

import math

import numpy as np

from repaudit.metrics.alignment import feature_norms


def shrink_cosines(features: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """cos(Δ, −f) of each displacement Δ = f' − f: 1 where a feature moves straight to the origin, −1 straight away.

    Its absolute value is the radial share |Δ·f| / (‖Δ‖ ‖f‖): the length of Δ's component along f as a share of ‖Δ‖.

    Args:
        features: (n, d) clean features f.
        moved: (n, d) features f' after the attack.

    Returns:
        (n,) float64 in [−1, 1]; NaN where the feature did not move or is 0.
    """
    clean = features.astype(np.float64)
    change = moved.astype(np.float64) - clean
    lengths = feature_norms(change) * feature_norms(clean)
    inward = -np.einsum("ij,ij->i", change, clean)
    cosines = np.full(len(features), np.nan)
    np.divide(inward, lengths, out=cosines, where=lengths > 0)
    return cosines.clip(-1, 1)


def isotropic_share(width: int) -> float:
    """The mean radial share of a displacement without preferred direction, Γ(d/2) / (√π Γ((d + 1)/2)).

    Args:
        width: feature width d ≥ 1.
    """
    return math.exp(math.lgamma(width / 2) - math.lgamma((width + 1) / 2)) / math.sqrt(math.pi)
