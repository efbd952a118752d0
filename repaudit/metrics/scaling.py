"""One number that mends confidence: the temperature of the logits, or the scale of the features.

Both are a scale s in logits s·A + b. For the temperature A = z, b = 0 and T = 1/s (Guo et al. 2017);
for the feature scale A = z − b with the head's bias b, which is what s·f would give. The negative
log-likelihood is convex in s, so Newton's method inside a bracket finds its one minimum.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from repaudit.metrics.summary import chunks

COARSE = 4096
"""About so many images give the starting point."""
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
    """Newton steps over all the rows."""


@dataclass(frozen=True, slots=True)
class Rescaled:
    """What g scales make of n images, in float64."""

    confidence: np.ndarray
    """(g, n) in (0, 1]."""
    correct: np.ndarray
    """(g, n) bool."""
    log_p_label: np.ndarray
    """(g, n) ≤ 0, in nats."""


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
    data = _Data(logits, labels, bias)
    at_zero, at_infinity = data.limits(rows)
    if at_zero >= 0:
        raise NoOptimum("the logits say no more about the labels than chance: the smaller the scale, the better")
    if at_infinity <= 0:
        raise NoOptimum(f"all {len(rows)} fitting images are classified right: the larger the scale, the better")
    start = 1.0
    coarse = rows[:: max(1, len(rows) // COARSE)]
    if len(coarse) < len(rows):
        with suppress(NoOptimum):
            start = fit_scale(logits, labels, rows=coarse, bias=bias).scale
    return _newton(data, rows, start)


def _newton(data: _Data, rows: np.ndarray, start: float) -> ScaleFit:
    low, high, scale = 0.0, np.inf, start
    for passes in range(1, ROUNDS):
        slope = data.slope(rows, scale)
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
    data = _Data(logits, labels, bias)
    offset = data.offset
    for part in chunks(len(rows)):
        scaled = data.scaled(rows[part])
        label = labels[rows[part]]
        index = np.arange(len(label))
        z = np.empty_like(scaled)
        for which, scale in enumerate(scales):
            np.multiply(scaled, scale, out=z)
            z += offset
            prediction = z.argmax(axis=1)
            z -= z[index, prediction][:, None]
            at_label = z[index, label].copy()
            total = np.exp(z, out=z).sum(axis=1)
            confidence[which, part] = 1 / total
            log_p[which, part] = at_label - np.log(total)
            correct[which, part] = prediction == label
    return Rescaled(confidence, correct, log_p)


@dataclass(frozen=True, slots=True)
class _Slope:
    first: float
    """Derivative of the mean negative log-likelihood."""
    second: float


@dataclass(frozen=True, slots=True)
class _Data:
    logits: np.ndarray
    labels: np.ndarray
    bias: np.ndarray | None

    @property
    def offset(self) -> np.ndarray:
        """The b (c,) of s·A + b."""
        return np.zeros(self.logits.shape[1]) if self.bias is None else self.bias.astype(np.float64)

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        """The A (n, c) of s·A + b; the difference cancels in float32."""
        exact: np.ndarray = self.logits[rows].astype(np.float64)
        if self.bias is not None:
            exact -= self.offset
        return exact

    def relative(self, rows: np.ndarray) -> np.ndarray:
        """The difference A − A_label (n, c)."""
        scaled = self.scaled(rows)
        scaled -= scaled[np.arange(len(rows)), self.labels[rows]][:, None]
        return scaled

    def limits(self, rows: np.ndarray) -> tuple[float, float]:
        """The derivative at scale 0, where only the bias speaks, and at infinity, where only the largest A does."""
        offset = self.offset
        prior = np.exp(offset - np.logaddexp.reduce(offset))
        at_zero = at_infinity = 0.0
        for part in chunks(len(rows)):
            relative = self.relative(rows[part])
            at_zero += float((relative @ prior).sum())
            at_infinity += float(relative.max(axis=1).sum())
        return at_zero / len(rows), at_infinity / len(rows)

    def slope(self, rows: np.ndarray, scale: float) -> _Slope:
        """E Σ_k p_k A_k − A_label and E Var_p A under p = softmax(s·A + b)."""
        offset = self.offset
        first = second = 0.0
        for part in chunks(len(rows)):
            relative = self.relative(rows[part])
            z = relative * scale
            z += offset
            z -= z.max(axis=1, keepdims=True)
            weight = np.exp(z, out=z)
            total = weight.sum(axis=1)
            weighted = np.multiply(weight, relative, out=weight)
            mean = weighted.sum(axis=1) / total
            square = np.einsum("ij,ij->i", weighted, relative) / total
            first += float(mean.sum())
            second += float((square - mean**2).sum())
        return _Slope(first / len(rows), second / len(rows))


def _next_scale(scale: float, slope: _Slope, low: float, high: float) -> float:
    """Newton's step, bounded by the stride; halves the bracket where that would leave it."""
    step = slope.first / slope.second if slope.second > 0 else np.copysign(np.inf, slope.first)
    following = min(max(scale - step, scale / STRIDE), scale * STRIDE)
    if low < following < high or following == scale:
        return following
    return (low + high) / 2
