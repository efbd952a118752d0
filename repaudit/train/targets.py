"""Soft labels, and the one loss that all of them are trained with.

Targets are rows that sum to 1 over K real classes, or over K + V nodes with virtual ones. Methods that mix images mix
one-hot rows first; virtual mass is appended to whatever comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from repaudit.train.method import Smoothing


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """How one-hot rows, mixed or not, become what a run is trained with."""

    classes: int
    """K."""
    smoothing: Smoothing = Smoothing.NONE
    alpha: float = 0.0
    virtual: int = 0
    """V; 0 but for virtual smoothing."""
    rejects: int = 0
    """Nodes for outliers between the real and the virtual ones, 0 for images of the classes."""

    @property
    def extra(self) -> int:
        """Nodes beside the K real ones."""
        return self.rejects + self.virtual

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        """(b, K + rejects + V) of (b, K) or (b, K + rejects) rows that sum to 1."""
        missing = self.classes + self.rejects - targets.shape[1]
        whole = F.pad(targets, (0, missing)) if missing else targets
        match self.smoothing:
            case Smoothing.NONE:
                return whole
            case Smoothing.LS:
                return smoothed(whole, self.alpha)
            case Smoothing.VS:
                return with_virtual(whole, self.alpha, self.virtual)
