"""Soft labels, and the one loss that all of them are trained with.

Targets are rows that sum to 1 over K real classes, or over K + V nodes with virtual ones. Methods that mix images mix
one-hot rows first; virtual mass is appended to whatever comes out.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(b, K) float32 of (b,) class indices."""
    return F.one_hot(labels, classes).float()


def smoothed(targets: torch.Tensor, alpha: float) -> torch.Tensor:
    """Label smoothing: (1 − α) t + α / K, over the label as well (Szegedy et al. 2016, eq. 7).

    Args:
        targets: (b, K), rows sum to 1.
        alpha: in [0, 1). The other convention, α / (K − 1) on wrong classes only, is this one with α K / (K − 1).
    """
    return (1 - alpha) * targets + alpha / targets.shape[1]


def with_virtual(targets: torch.Tensor, alpha: float, virtual: int) -> torch.Tensor:
    """Virtual smoothing: [(1 − α) t, α / V … α / V] (Virtual Smoothing Classes, AAAI 2025, eq. 3).

    Wrong real classes keep exactly 0. α = 0 is not one-hot training: virtual logits still stand in the denominator.

    Args:
        targets: (b, K), rows sum to 1.
        alpha: in [0, 1), mass of all virtual classes together.
        virtual: V ≥ 1.

    Returns:
        (b, K + V), rows sum to 1.
    """
    mass = targets.new_full((len(targets), virtual), alpha / virtual)
    return torch.cat([(1 - alpha) * targets, mass], dim=1)


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """−Σ_k t_k log softmax(z)_k, mean over rows; computed in float32 whatever autocast made of the logits.

    Args:
        logits: (b, K + V).
        targets: (b, K + V).

    Returns:
        () in nats. Values of different targets are not comparable: subtract `entropy`, the least that can be reached.
    """
    return -(targets * F.log_softmax(logits.float(), dim=1)).sum(1).mean()


def entropy(targets: torch.Tensor) -> torch.Tensor:
    """() mean entropy of the rows in nats: the floor of `soft_cross_entropy`."""
    own: torch.Tensor = torch.special.entr(targets)
    return own.sum(1).mean()
