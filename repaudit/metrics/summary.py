"""One reduction of the logits to a few numbers per image; nothing else reads the (n, c) matrix twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CHUNK = 256
"""Rows handled at a time: 2 MB of float64 at c = 1000, which a processor's cache holds."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What accuracy, calibration and most per-image columns need, in float64."""

    prediction: np.ndarray
    """(n,) int64, the class of the largest logit."""
    correct: np.ndarray
    """(n,) bool."""
    confidence: np.ndarray
    """(n,) in (0, 1]: exp(z_max − logsumexp z)."""
    log_p_label: np.ndarray
    """(n,) ≤ 0, log-probability of the label, in nats."""
    brier: np.ndarray
    """(n,) in [0, 2], Σ_k (p_k − [k = label])²."""
    top5: np.ndarray
    """(n,) bool: the label is among the five largest logits, of equal ones the lower class; always where c ≤ 5."""
    margin: np.ndarray
    """(n,) z_label − max of the others; positive only where the prediction is the label, 0 on a tie."""


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices that cover 0..n in order."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def summarize(logits: np.ndarray, labels: np.ndarray) -> Summary:
    """Reduces logits (n, c) and labels (n,) to one number per image and quantity.

    Raises:
        ValueError: shapes do not match, a label is out of range, or a logit is not finite.
    """
    n, c = logits.shape
    if labels.shape != (n,):
        raise ValueError(f"{n} rows of logits but labels of shape {labels.shape}")
    if n and (labels.min() < 0 or labels.max() >= c):
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, outside the {c} classes")
    prediction = np.empty(n, dtype=np.int64)
    confidence, log_p, brier, margin = (np.empty(n) for _ in range(4))
    top5 = np.empty(n, dtype=bool)
    for rows in chunks(n):
        z = logits[rows].astype(np.float64)
        if not np.isfinite(z).all():
            raise ValueError("logits must be finite")
        label = labels[rows]
        index = np.arange(len(z))
        z_label = z[index, label]
        prediction[rows] = z.argmax(axis=1)
        # Among equal logits the lower class comes first, as it does for the prediction.
        ahead = (z > z_label[:, None]) | ((z == z_label[:, None]) & (np.arange(c) < label[:, None]))
        top5[rows] = ahead.sum(axis=1) < 5
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1)
        p_label = e[index, label] / total
        confidence[rows] = 1 / total
        log_p[rows] = z[index, label] - np.log(total)
        brier[rows] = np.einsum("ij,ij->i", e, e) / total**2 - 2 * p_label + 1
        own = z[index, label].copy()
        z[index, label] = -np.inf
        margin[rows] = own - z.max(axis=1)
    return Summary(prediction, prediction == labels, confidence, log_p, brier, top5, margin)
