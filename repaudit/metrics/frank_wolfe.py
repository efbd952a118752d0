"""The point of a ball at which a linear head's loss for one class is least.

CE(Wf + b, y) = softplus(φ(f)) with φ(f) = logsumexp over j ≠ y of (z_j − z_y), so both have the same
minimisers, and φ neither underflows nor saturates. Without a bound there is no finite minimiser for a
separable class; on the ball ‖f‖ ≤ R the problem is convex and needs no start and no learning rate.

Every iterate is a combination of the weight rows, so the iteration lives in class space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repaudit.metrics.linear_head import CenteredHead, rivalry, rowwise_dot, softmax
from repaudit.metrics.projected_gradient import minimize_in_ball
from repaudit.metrics.summary import chunks

TOLERANCE = 1e-6
"""Duality gap, in nats, at which a class counts as solved."""
ITERATIONS = 200
INTERIOR = 0.999
"""Below this share of R the minimum lies inside the ball."""
NO_DIRECTION = 0.01
"""Below this share of R the minimum is the origin for all purposes: it has no direction."""

_CLASSES = 128
"""Classes solved together: 1 MB of float64 at c = 1000."""
_PATIENCE = 30
"""Iterations after which an iterate inside the ball is handed over: Frank–Wolfe crawls to interior minima."""
_SEARCH_STEPS = 30
_SEARCH_ACCURACY = 0.01
"""Slope left by a line search, as a share of the slope at its start."""


@dataclass(frozen=True, slots=True)
class SphereCenters:
    """Minimum-loss points of the classes that were asked for; NaN, 0 or False in the rows of the others."""

    points: np.ndarray
    """(c, d) float64."""
    radius: float
    """R, in the units of the features."""
    iterations: np.ndarray
    """(c,) int64, Frank–Wolfe's and those of the interior solver together."""
    gap: np.ndarray
    """(c,) R‖g‖ − g·f ≥ φ(f) − min φ, in nats: how far from optimal the point can be."""
    misalignment: np.ndarray
    """(c,) 1 − cos(f, g), g = −∇φ: 0 at a minimum on the sphere; NaN for interior minima, where it does not apply."""
    interior: np.ndarray
    """(c,) bool: ‖f‖ < .999 R."""
    directionless: np.ndarray
    """(c,) bool: ‖f‖ < .01 R, so no cosine with the point means anything."""

    @property
    def directed(self) -> np.ndarray:
        """(c, d) the points, with NaN rows also where there is no direction."""
        return np.where(self.directionless[:, None], np.nan, self.points)


@dataclass(frozen=True, slots=True)
class _Solution:
    coefficients: np.ndarray
    """(k, c): f = Wᵀα."""
    iterations: np.ndarray
    gap: np.ndarray


def sphere_centers(
    weight: np.ndarray,
    bias: np.ndarray,
    radius: float,
    classes: np.ndarray,
    *,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
) -> SphereCenters:
    """Minimum-loss point of each asked class on the ball ‖f‖ ≤ R, by Frank–Wolfe from 0 with line search.

    The vertex is R g/‖g‖ with g = w_y − Σ_{j≠y} q_j w_j, q the softmax over j ≠ y. Classes to which it only
    crawls (the minimum lies inside the ball, or the head is very saturated) are finished by accelerated
    projected gradient.

    Args:
        weight: (c, d) rows of the head.
        bias: (c,).
        radius: R > 0, the mean norm of correctly classified features.
        classes: indices of the classes wanted.
        tolerance: duality gap, in nats, at which to stop.
        iterations: at most so many of Frank–Wolfe.

    Raises:
        ValueError: R is not positive or there is only one class.

    Source: Jaggi, ICML 2013 (Frank–Wolfe and its gap); RS (arXiv 2410.03999) for the minimum-loss centre.
    """
    if not radius > 0 or len(weight) < 2:
        raise ValueError(f"a ball of radius {radius} and {len(weight)} classes have no minimum-loss point")
    head = CenteredHead(weight, bias)
    count, width = weight.shape
    points = np.full((count, width), np.nan)
    spent = np.zeros(count, dtype=np.int64)
    gap = np.full(count, np.nan)
    for part in chunks(len(classes), _CLASSES):
        wanted = classes[part]
        solution = _frank_wolfe(head, wanted, radius, tolerance, iterations)
        coefficients = solution.coefficients
        spent[wanted], gap[wanted] = solution.iterations, solution.gap
        crawling = np.flatnonzero(solution.gap > tolerance)
        if len(crawling):
            minimum = minimize_in_ball(head, wanted[crawling], coefficients[crawling], radius, tolerance)
            coefficients[crawling] = minimum.coefficients
            spent[wanted[crawling]] += minimum.iterations
            gap[wanted[crawling]] = minimum.gap
        points[wanted] = head.points(coefficients)
    return _certified(head, points, spent, gap, radius, classes)


def _frank_wolfe(
    head: CenteredHead, classes: np.ndarray, radius: float, tolerance: float, iterations: int
) -> _Solution:
    shape = (len(classes), len(head.bias))
    solved = _Solution(np.zeros(shape), np.zeros(len(classes), dtype=np.int64), np.zeros(len(classes)))
    active = np.arange(len(classes))
    linear, coefficients = np.zeros(shape), np.zeros(shape)
    for iteration in range(iterations + 1):
        rivals = rivalry(linear + head.bias, classes[active])
        gradient = head.class_products(rivals.pull)
        steepness = np.sqrt(np.maximum(rowwise_dot(rivals.pull, gradient), 0.0))
        gap = radius * steepness - rowwise_dot(rivals.pull, linear)
        inside = rowwise_dot(coefficients, linear) < (0.99 * radius) ** 2
        leaving = (gap <= tolerance) | (iteration == iterations) | (inside & (iteration >= _PATIENCE))
        done = active[leaving]
        solved.coefficients[done], solved.gap[done] = coefficients[leaving], gap[leaving]
        solved.iterations[done] = iteration
        stay = ~leaving
        if not stay.any():
            break
        active, scale = active[stay], (radius / steepness[stay])[:, None]
        own = (np.arange(len(active)), classes[active])
        towards = scale * gradient[stay] - linear[stay]
        share = _line_search(rivals.margins[stay], towards - towards[own][:, None], gap[stay])[:, None]
        linear = linear[stay] + share * towards
        coefficients = (1 - share) * coefficients[stay] + share * scale * rivals.pull[stay]
    return solved


def _line_search(margins: np.ndarray, change: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Minimises logsumexp(margins + γ·change) over γ in [0, 1] by Newton's method, kept in a bracket by bisection.

    Args:
        margins: (k, c) z_j − z_y, −∞ at the own class.
        change: (k, c), 0 at the own class.
        gap: (k,) minus the slope at γ = 0.
    """
    low, high = np.zeros(len(gap)), np.full(len(gap), np.inf)
    share = np.zeros(len(gap))
    moving = np.ones(len(gap), dtype=bool)
    for _ in range(_SEARCH_STEPS):
        chance = softmax(margins[moving] + share[moving, None] * change[moving])
        slope = rowwise_dot(chance, change[moving])
        curvature = np.einsum("ij,ij,ij->i", chance, change[moving], change[moving]) - slope**2
        at = share[moving]
        low[moving] = np.where(slope < 0, at, low[moving])
        high[moving] = np.where(slope < 0, high[moving], at)
        with np.errstate(divide="ignore", over="ignore"):
            newton = np.minimum(at - slope / np.maximum(curvature, 0.0), 1.0)
        bracketed = (newton > low[moving]) & (newton < high[moving])
        with np.errstate(invalid="ignore"):
            following = np.where(bracketed, newton, np.minimum((low[moving] + high[moving]) / 2, 1.0))
        settled = (np.abs(slope) <= _SEARCH_ACCURACY * gap[moving]) | ((at == 1) & (slope <= 0))
        share[moving] = np.where(settled, at, following)
        moving[moving] = ~settled
        if not moving.any():
            break
    return share


def _certified(
    head: CenteredHead, points: np.ndarray, spent: np.ndarray, gap: np.ndarray, radius: float, classes: np.ndarray
) -> SphereCenters:
    count = len(points)
    share = np.full(count, np.nan)
    share[classes] = np.linalg.norm(points[classes], axis=1) / radius
    interior = share < INTERIOR
    misalignment = np.full(count, np.nan)
    for part in chunks(len(classes), _CLASSES):
        wanted = classes[part][~interior[classes[part]]]
        logits = points[wanted] @ head.rows.T + head.bias
        gradient = head.points(rivalry(logits, wanted).pull)
        lengths = np.linalg.norm(points[wanted], axis=1) * np.linalg.norm(gradient, axis=1)
        misalignment[wanted] = 1 - rowwise_dot(points[wanted], gradient) / lengths
    return SphereCenters(points, radius, spent, gap, misalignment, interior, share < NO_DIRECTION)
