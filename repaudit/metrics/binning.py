"""Bins of confidence, and the three sums per bin from which every binned calibration error follows.

Images are sorted by confidence once, so that the bins of any partition are contiguous and one
`np.add.reduceat` sums them, for the data itself as for many weighted resamples at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15
"""The field's usual number (Guo et al. 2017)."""


@dataclass(frozen=True, slots=True)
class BinSums:
    """Sums over the images of each non-empty bin; leading axes, where there are any, are resamples."""

    count: np.ndarray
    """(..., m) how many images, or their weights."""
    confidence: np.ndarray
    """(..., m) Σ confidence."""
    correct: np.ndarray
    """(..., m) Σ [prediction = label]."""

    @property
    def gap(self) -> np.ndarray:
        """(..., m) Σ (confidence − correct): positive where the model is over-confident."""
        difference: np.ndarray = self.confidence - self.correct
        return difference


@dataclass(frozen=True, slots=True)
class Bins:
    """A partition of some images by confidence."""

    rows: np.ndarray
    """(n,) which image of the whole set stands at each place of the sorted order."""
    confidence: np.ndarray
    """(n,) ascending, float64."""
    correct: np.ndarray
    """(n,) float64, 0 or 1, in the same order."""
    edges: np.ndarray
    """(B + 1,) bin i holds confidences in (edges[i], edges[i + 1]]; the first holds 0 too."""
    occupied: np.ndarray
    """(m,) indices in 0..B − 1 of the bins that hold an image."""
    starts: np.ndarray
    """(m,) place of the first image of each occupied bin."""

    def sums(self) -> BinSums:
        """The sums over the images themselves, each (m,)."""
        counts = np.diff(np.append(self.starts, len(self.rows))).astype(np.float64)
        return BinSums(counts, self._reduce(self.confidence), self._reduce(self.correct))

    def weighted_sums(self, weights: np.ndarray) -> BinSums:
        """The sums under weights (r, N) of all N images of the whole set, each (r, m)."""
        own = weights.take(self.rows, axis=1)
        return BinSums(self._reduce(own), self._reduce(own * self.confidence), self._reduce(own * self.correct))

    def _reduce(self, values: np.ndarray) -> np.ndarray:
        reduced: np.ndarray = np.add.reduceat(values, self.starts, axis=-1)
        return reduced


def bin_index(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Which equal-width bin (a, b] a confidence belongs to: clip(⌈conf·B⌉ − 1, 0, B − 1) (Guo et al. 2017).

    Confidence 0 goes to bin 0, confidence 1 to the last.
    """
    index = np.ceil(np.asarray(confidence, dtype=np.float64) * bins).astype(np.int64) - 1
    return np.clip(index, 0, bins - 1)


def equal_width(
    confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS, rows: np.ndarray | None = None
) -> Bins:
    """Bins of equal width over [0, 1].

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,) bool.
        bins: how many.
        rows: (n,) which images of a larger set these are; all of them, in order, by default.

    Raises:
        ValueError: no image, shapes that differ, a confidence outside [0, 1], or no bin.
    """
    _check(confidence, correct, bins)
    order = np.argsort(confidence, kind="stable")
    index = bin_index(confidence[order], bins)
    return _partition(confidence, correct, rows, order, index, np.arange(bins + 1) / bins)


def equal_mass(
    confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS, rows: np.ndarray | None = None
) -> Bins:
    """Bins that hold as nearly the same number of images as their ties allow.

    Equal confidences share a bin, so that the order of the images decides nothing; there may then be
    fewer bins than asked for. Arguments and errors are those of `equal_width`.
    """
    _check(confidence, correct, bins)
    order = np.argsort(confidence, kind="stable")
    ascending = np.asarray(confidence, dtype=np.float64)[order]
    last = [part[-1] for part in np.array_split(ascending, min(bins, len(ascending)))]
    upper = np.unique(last)
    index = np.searchsorted(upper, ascending, side="left")
    return _partition(confidence, correct, rows, order, index, np.concatenate([[0.0], upper]))


def _check(confidence: np.ndarray, correct: np.ndarray, bins: int) -> None:
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(f"confidence of shape {confidence.shape} but correctness of shape {correct.shape}")
    if len(confidence) == 0:
        raise ValueError("no image to bin")
    if bins < 1:
        raise ValueError(f"at least one bin is needed; got {bins}")
    if not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(f"confidences lie in [0, 1]; got {confidence.min()} to {confidence.max()}")


def _partition(
    confidence: np.ndarray,
    correct: np.ndarray,
    rows: np.ndarray | None,
    order: np.ndarray,
    index: np.ndarray,
    edges: np.ndarray,
) -> Bins:
    occupied, starts = np.unique(index, return_index=True)
    return Bins(
        rows=order if rows is None else rows[order],
        confidence=np.asarray(confidence, dtype=np.float64)[order],
        correct=np.asarray(correct, dtype=np.float64)[order],
        edges=edges,
        occupied=occupied,
        starts=starts,
    )
