"""One number that mends confidence: the temperature of the logits, or the scale of the features.

Both are a scale s in logits s·A + b. For the temperature A = z, b = 0 and T = 1/s (Guo et al. 2017);
for the feature scale A = z − b with the head's bias b, which is what s·f would give. The negative
log-likelihood is convex in s, so Newton's method inside a bracket finds its one minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.summary import chunks

ROUNDS = 100
TOLERANCE = 1e-7
"""Relative; Newton's last step squares the error that is left."""
STRIDE = 4.0
"""A Newton step may change the scale by this factor at most."""


class NoOptimum(ValueError):
    """The likelihood has no maximum at a finite positive scale; the message says why."""


@dataclass(frozen=True, slots=True)
class ScaleFit:
    """The scale that minimises the negative log-likelihood."""

    scale: float
    passes: int
    """How often the logits were read."""


@dataclass(frozen=True, slots=True)
class Rescaled:
    """What g scales make of n images, in float64."""

    confidence: np.ndarray
    """(g, n) in (0, 1]."""
    correct: np.ndarray
    """(g, n) bool."""
    log_p_label: np.ndarray
    """(g, n) ≤ 0, in nats."""


@dataclass(frozen=True, slots=True)
class _Slope:
    first: float
    """Derivative of the mean negative log-likelihood."""
    second: float
    reach: float
    """The derivative as the scale goes to infinity, never negative."""


def fit_scale(
    logits: np.ndarray, labels: np.ndarray, *, rows: np.ndarray | None = None, bias: np.ndarray | None = None
) -> ScaleFit:
    """The scale s of s·(z − b) + b that minimises the mean negative log-likelihood of the labels.

    Args:
        logits: (n, c).
        labels: (n,).
        rows: which images to fit on; all by default.
        bias: (c,) the head's bias for a feature scale; None fits 1/temperature.

    Raises:
        NoOptimum: every image is right, so that ever larger scales are better; the logits are no
            better than chance, so that none is better than zero; or there is no image.
    """
    rows = np.arange(len(logits)) if rows is None else rows
    if len(rows) == 0:
        raise NoOptimum("there is no image to fit on")
    at_zero = _slope(logits, labels, rows, bias, 0.0)
    if at_zero.first >= 0:
        raise NoOptimum("the logits say no more about the labels than chance: the smaller the scale, the better")
    if at_zero.reach <= 0:
        raise NoOptimum(f"all {len(rows)} fitting images are classified right: the larger the scale, the better")
    low, high, scale = 0.0, np.inf, 1.0
    for passes in range(2, ROUNDS):
        slope = _slope(logits, labels, rows, bias, scale)
        low, high = (scale, high) if slope.first < 0 else (low, scale)
        following = _next_scale(scale, slope, low, high)
        if abs(following - scale) <= TOLERANCE * scale:
            return ScaleFit(float(following), passes)
        scale = following
    raise NoOptimum(f"the search did not settle in {ROUNDS} passes; it stands at {scale:.6g}")


def rescale(
    logits: np.ndarray,
    labels: np.ndarray,
    scales: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    bias: np.ndarray | None = None,
) -> Rescaled:
    """Confidence, correctness and log-likelihood under each of g scales, reading the logits once.

    Arguments are those of `fit_scale`; `scales` is (g,), positive.
    """
    rows = np.arange(len(logits)) if rows is None else rows
    shape = (len(scales), len(rows))
    confidence, log_p, correct = np.empty(shape), np.empty(shape), np.empty(shape, dtype=bool)
    for part in chunks(len(rows)):
        scaled, offset = _affine(logits[rows[part]], bias)
        label = labels[rows[part]]
        index = np.arange(len(label))
        for which, scale in enumerate(scales):
            z = scaled * scale + offset
            prediction = z.argmax(axis=1)
            z -= z[index, prediction][:, None]
            at_label = z[index, label].copy()
            total = np.exp(z, out=z).sum(axis=1)
            confidence[which, part] = 1 / total
            log_p[which, part] = at_label - np.log(total)
            correct[which, part] = prediction == label
    return Rescaled(confidence, correct, log_p)


def _affine(logits: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A (n, c) and b (c,) of s·A + b; the difference cancels in float32."""
    exact = logits.astype(np.float64)
    offset = np.zeros(exact.shape[1]) if bias is None else bias.astype(np.float64)
    return exact - offset, offset


def _slope(logits: np.ndarray, labels: np.ndarray, rows: np.ndarray, bias: np.ndarray | None, scale: float) -> _Slope:
    first = second = reach = 0.0
    for part in chunks(len(rows)):
        scaled, offset = _affine(logits[rows[part]], bias)
        label = labels[rows[part]]
        index = np.arange(len(label))
        scaled -= scaled[index, label][:, None]
        reach += float(scaled.max(axis=1).sum())
        z = scaled * scale + offset
        z -= z.max(axis=1, keepdims=True)
        weight = np.exp(z, out=z)
        total = weight.sum(axis=1)
        weighted = np.multiply(weight, scaled, out=weight)
        mean = weighted.sum(axis=1) / total
        square = np.einsum("ij,ij->i", weighted, scaled) / total
        first += float(mean.sum())
        second += float((square - mean**2).sum())
    return _Slope(first / len(rows), second / len(rows), reach / len(rows))


def _next_scale(scale: float, slope: _Slope, low: float, high: float) -> float:
    """Newton's step, bounded by the stride; halves the bracket where that would leave it."""
    step = slope.first / slope.second if slope.second > 0 else np.copysign(np.inf, slope.first)
    following = min(max(scale - step, scale / STRIDE), scale * STRIDE)
    if low < following < high or following == scale:
        return following
    return (low + high) / 2
