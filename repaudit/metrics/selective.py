"""If the least confident images are handed to a person, how often is the rest wrong?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Error rate among the most confident images, for every number of them that is kept."""

    risk: np.ndarray
    """(n,) risk[k − 1] is the error rate of the k most confident images."""
    threshold: np.ndarray
    """(n,) confidence of the k-th most confident image."""

    @property
    def area(self) -> float:
        """Area under the risk-coverage curve: mean risk over all coverages (Geifman, Uziel & El-Yaniv 2019)."""
        return float(self.risk.mean())


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    """The risk-coverage curve, images in order of falling confidence.

    Images of equal confidence share their errors evenly, which is the mean over all orders of them:
    so the order of the images decides nothing.

    Args:
        confidence: (n,) any score that grows with confidence.
        correct: (n,) bool.

    Raises:
        ValueError: no image, or shapes that differ.
    """
    if confidence.shape != correct.shape or confidence.ndim != 1 or len(confidence) == 0:
        raise ValueError(f"confidence of shape {confidence.shape} but correctness of shape {correct.shape}")
    order = np.argsort(-confidence, kind="stable")
    descending = confidence[order]
    first = np.concatenate([[True], descending[1:] != descending[:-1]])
    group = np.cumsum(first) - 1
    wrong = ~np.asarray(correct, dtype=bool)[order]
    mean_error = np.bincount(group, weights=wrong) / np.bincount(group)
    risk = np.cumsum(mean_error[group]) / np.arange(1, len(group) + 1)
    return RiskCoverage(risk, descending)
