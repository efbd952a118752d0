"""What one clean pass leaves: data only, immutable."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from repaudit.metrics.summary import Summary, summarize


@dataclass(frozen=True)
class Evidence:
    """Features, logits, labels and ids of every image, and the head's weights."""

    ids: tuple[str, ...]
    labels: np.ndarray
    """(n,) int64."""
    logits: np.ndarray = field(repr=False)
    """(n, c) float32, possibly a read-only memory map."""
    features: np.ndarray | None = field(repr=False)
    """(n, d) float32, or None without a linear head."""
    weight: np.ndarray | None = field(repr=False)
    """(c, d) float32."""
    bias: np.ndarray | None = field(repr=False)
    """(c,) float32."""

    @cached_property
    def summary(self) -> Summary:
        """Prediction, confidence and the like, reduced once and shared by all audits."""
        return summarize(self.logits, self.labels)

    def __len__(self) -> int:
        return len(self.ids)
