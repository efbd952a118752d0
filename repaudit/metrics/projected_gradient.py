"""Minima of a linear head's loss inside a ball, to which Frank–Wolfe only crawls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.linear_head import CenteredHead, rivalry, rowwise_dot

ITERATIONS = 2000

_CHECK = 10
"""Steps between two looks at the gap, which costs as much as a step."""
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True)
class BallMinimum:
    """Where φ(f) = logsumexp over j ≠ y of (z_j − z_y) is least on ‖f‖ ≤ R."""

    coefficients: np.ndarray
    """(k, c): f = Wᵀα."""
    iterations: np.ndarray
    """(k,) int64."""
    gap: np.ndarray
    """(k,) R‖g‖ − g·f ≥ φ(f) − min φ, in nats, g = −∇φ."""


@dataclass(frozen=True, slots=True)
class _Points:
    """Points f = Wᵀα of feature space, with the W f that is needed at every turn."""

    coefficients: np.ndarray
    linear: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> _Points:
        return _Points(self.coefficients[rows], self.linear[rows])

    def plus(self, other: _Points, weight: np.ndarray) -> _Points:
        return _Points(
            self.coefficients + weight[:, None] * other.coefficients, self.linear + weight[:, None] * other.linear
        )

    def dot(self, other: _Points) -> np.ndarray:
        return rowwise_dot(self.coefficients, other.linear)

    def into_ball(self, radius: float) -> _Points:
        norms = np.sqrt(np.maximum(self.dot(self), _TINY))
        share = np.minimum(1.0, radius / norms)[:, None]
        return _Points(share * self.coefficients, share * self.linear)


def minimize_in_ball(
    head: CenteredHead,
    classes: np.ndarray,
    start: np.ndarray,
    radius: float,
    tolerance: float,
    iterations: int = ITERATIONS,
) -> BallMinimum:
    """Accelerated projected gradient with restarts, all asked classes side by side.

    The step is 1/L with L = max ‖w_j − w̄‖², which bounds the Hessian of φ: it is the covariance of the rows
    under the softmax, and no covariance exceeds the mean squared distance from any one point.

    Args:
        head: with c classes.
        classes: (k,) class indices y.
        start: (k, c) coefficients of points inside the ball.
        radius: R.
        tolerance: gap, in nats, at which to stop.
        iterations: at most so many.

    Source: Beck & Teboulle 2009 (FISTA); O'Donoghue & Candès 2015 (restart where the momentum points uphill).
    """
    found = BallMinimum(start.copy(), np.zeros(len(classes), dtype=np.int64), np.full(len(classes), np.inf))
    step = 1.0 / max(float((head.rows**2).sum(axis=1).max()), _TINY)
    active = np.arange(len(classes))
    points = ahead = _Points(start, head.class_products(start))
    momentum = np.ones(len(classes))
    for iteration in range(iterations + 1):
        if iteration % _CHECK == 0:
            force = _force(head, classes[active], points)
            gap = radius * np.sqrt(np.maximum(force.dot(force), 0.0)) - force.dot(points)
            better = gap < found.gap[active]
            found.coefficients[active[better]] = points.coefficients[better]
            found.gap[active[better]] = gap[better]
            found.iterations[active] = iteration
            stay = gap > tolerance
            active, points, ahead, momentum = active[stay], points[stay], ahead[stay], momentum[stay]
            if not len(active):
                break
        pull = _force(head, classes[active], ahead)
        following = ahead.plus(pull, np.full(len(active), step)).into_ball(radius)
        backwards = np.full(len(active), -1.0)
        move = following.plus(points, backwards)
        restart = ahead.plus(following, backwards).dot(move) > 0
        raised = np.where(restart, 1.0, (1 + np.sqrt(1 + 4 * momentum**2)) / 2)
        ahead = following.plus(move, np.where(restart, 0.0, (momentum - 1) / raised))
        points, momentum = following, raised
    return found


def _force(head: CenteredHead, classes: np.ndarray, at: _Points) -> _Points:
    """−∇φ = w_y − Σ_{j≠y} q_j w_j."""
    pull = rivalry(at.linear + head.bias, classes).pull
    return _Points(pull, head.class_products(pull))
