"""Resamples of binned errors: how far they scatter, and what chance alone would show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from repaudit.metrics.binning import Bins, BinSums
from repaudit.metrics.calibration import expected_error, signed_root, squared_error
from repaudit.metrics.intervals import Interval, basic_bootstrap

ELEMENTS = 1 << 21
"""Weights drawn at a time: 16 MB."""


def poisson_sums(
    partitions: Sequence[Bins], images: int, *, resamples: int, generator: np.random.Generator
) -> list[BinSums]:
    """Bin sums under Poisson(1) weights, the bootstrap for sums over images (Chamandy et al. 2012).

    An image has one weight in a resample, whatever partition asks: differences between them are paired.

    Args:
        partitions: whose `rows` point into 0..images − 1; their bins stay as they are.
        images: size of the whole set.
        resamples: how many.
        generator: draws the one stream of weights.

    Returns:
        For each partition its sums, each (resamples, m).
    """
    parts: list[list[BinSums]] = [[] for _ in partitions]
    for count in _batches(resamples, images):
        weights = generator.poisson(1.0, (count, images)).astype(np.float64)
        for part, partition in zip(parts, partitions, strict=True):
            part.append(partition.weighted_sums(weights))
    return [_joined(part) for part in parts]


def null_errors(partition: Bins, *, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Expected calibration errors that a perfectly calibrated model would show on these confidences.

    Correctness is drawn as Bernoulli(confidence), independently for each image.

    Returns:
        (resamples,) in [0, 1].
    """
    observed = partition.sums()
    errors = []
    for count in _batches(resamples, len(partition.rows)):
        uniform = generator.random((count, len(partition.rows)))
        correct = np.add.reduceat((uniform < partition.confidence).astype(np.float64), partition.starts, axis=-1)
        errors.append(expected_error(BinSums(observed.count, observed.confidence, correct)))
    return np.concatenate(errors)


def debiased_interval(observed: BinSums, replicates: BinSums) -> Interval:
    """95 % basic bootstrap interval of sign·√|debiased squared error|.

    A resample's truth is the plug-in square of the data, not its debiased one, and only squares are
    unbiased: so the reflection is done on squares, about the plug-in square, and then brought to the
    scale of the error. Not cut at 0, for the estimate itself may lie below.
    """
    debiased = squared_error(observed, debiased=True)
    plug_in = squared_error(observed, debiased=False)
    point = signed_root(debiased)
    reflected = signed_root(debiased + plug_in - squared_error(replicates, debiased=True))
    return basic_bootstrap(float(point), 2 * point - reflected, floor=None)


def _batches(resamples: int, images: int) -> Iterator[int]:
    size = max(1, ELEMENTS // max(images, 1))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def _joined(parts: Sequence[BinSums]) -> BinSums:
    return BinSums(
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.correct for part in parts]),
    )
