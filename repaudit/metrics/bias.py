"""How many answers are owed to the head's bias rather than to the feature's direction?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.summary import chunks

_ROWS = 128
"""Rows handled at a time: 1 MB of float64 at c = 1000, which stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class BiasDependence:
    """Correct and wrong predictions that change when the bias is taken away."""

    correct: np.ndarray
    """(c,) int64, n_c: correct predictions of each class."""
    lost: np.ndarray
    """(c,) int64, n'_c: those of n_c that become wrong without the bias."""
    caused_errors: int
    """Wrong predictions that become right without the bias."""

    @property
    def defined(self) -> np.ndarray:
        """(c,) bool: classes with n_c > 0; the share of the others is undefined, not 0."""
        return self.correct > 0

    @property
    def shares(self) -> np.ndarray:
        """(classes with n_c > 0,) n'_c/n_c in [0, 1]."""
        shares: np.ndarray = self.lost[self.defined] / self.correct[self.defined]
        return shares

    @property
    def pooled(self) -> float:
        """Σ n'_c / Σ n_c in [0, 1].

        Raises:
            ValueError: no prediction is correct.
        """
        total = int(self.correct.sum())
        if total == 0:
            raise ValueError("no prediction is correct")
        return int(self.lost.sum()) / total


def is_bias_free(bias: np.ndarray) -> bool:
    """Whether the bias changes no prediction at any scale: it is the same for every class."""
    return bool(bias.max() == bias.min())


def bias_dependence(logits: np.ndarray, bias: np.ndarray, labels: np.ndarray, correct: np.ndarray) -> BiasDependence:
    """Counts predictions that need the bias; the same as an upper ray limit s_hi < ∞.

    Args:
        logits: (n, c) with the bias, possibly a memory map.
        bias: (c,) of the head.
        labels: (n,) class indices.
        correct: (n,) bool, which images the network classifies correctly.

    Source: RS (arXiv 2410.03999), appendix D and Table 6.
    """
    n, classes = logits.shape
    exact_bias = bias.astype(np.float64)
    overtaken = np.empty(n, dtype=bool)
    right_without = np.empty(n, dtype=bool)
    for rows in chunks(n, _ROWS):
        alone = logits[rows] - exact_bias
        own = alone[np.arange(len(alone)), labels[rows]]
        overtaken[rows] = alone.max(axis=1) > own
        right_without[rows] = alone.argmax(axis=1) == labels[rows]
    return BiasDependence(
        correct=np.bincount(labels[correct], minlength=classes),
        lost=np.bincount(labels[correct & overtaken], minlength=classes),
        caused_errors=int((~correct & right_without).sum()),
    )
