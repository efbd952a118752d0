"""Minima of a linear head's loss inside a ball, to which Frank–Wolfe only crawls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.linear_head import CenteredHead, rivalry, rowwise_dot

ITERATIONS = 2000


@dataclass(frozen=True, slots=True)
class BallMinimum:
    """Where φ(f) = logsumexp over j ≠ y of (z_j − z_y) is least on ‖f‖ ≤ R."""

    points: np.ndarray
    """(k, d) float64."""
    iterations: np.ndarray
    """(k,) int64."""
    gap: np.ndarray
    """(k,) R‖g‖ − g·f ≥ φ(f) − min φ, in nats, g = −∇φ."""


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
        head: with c classes and features of width d.
        classes: (k,) class indices y.
        start: (k, d) inside the ball.
        radius: R.
        tolerance: gap, in nats, at which to stop.
        iterations: at most so many.

    Source: Beck & Teboulle 2009 (FISTA); O'Donoghue & Candès 2015 (restart where the momentum points uphill).
    """
    step = 1.0 / max(float((head.rows**2).sum(axis=1).max()), np.finfo(np.float64).tiny)
    points, ahead = start.copy(), start.copy()
    momentum = np.ones(len(classes))
    gap = np.full(len(classes), np.inf)
    spent = np.zeros(len(classes), dtype=np.int64)
    best = start.copy()
    active = np.arange(len(classes))
    for iteration in range(iterations + 1):
        own = classes[active]
        force = _force(head, own, points[active])
        now = radius * np.linalg.norm(force, axis=1) - rowwise_dot(force, points[active])
        better = now < gap[active]
        gap[active] = np.where(better, now, gap[active])
        best[active] = np.where(better[:, None], points[active], best[active])
        spent[active] = iteration
        active = active[now > tolerance]
        if not len(active) or iteration == iterations:
            break
        uphill = _force(head, classes[active], ahead[active])
        following = _into_ball(ahead[active] + step * uphill, radius)
        move = following - points[active]
        restart = rowwise_dot(ahead[active] - following, move) > 0
        raised = np.where(restart, 1.0, (1 + np.sqrt(1 + 4 * momentum[active] ** 2)) / 2)
        weight = np.where(restart, 0.0, (momentum[active] - 1) / raised)
        ahead[active] = following + weight[:, None] * move
        points[active], momentum[active] = following, raised
    return BallMinimum(best, spent, gap)


def _force(head: CenteredHead, classes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(k, d) −∇φ = w_y − Σ_{j≠y} q_j w_j."""
    return head.points(rivalry(points @ head.rows.T + head.bias, classes).pull)


def _into_ball(points: np.ndarray, radius: float) -> np.ndarray:
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    projected: np.ndarray = points * np.minimum(1.0, radius / np.maximum(norms, np.finfo(np.float64).tiny))
    return projected
