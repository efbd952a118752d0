"""Minimum-loss points against general convex solvers that know nothing of Frank–Wolfe."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from repaudit.metrics.frank_wolfe import sphere_centers

PROBLEMS = [(2, 3, 1.0), (5, 8, 2.0), (10, 6, 0.5), (10, 6, 4.0), (10, 2, 3.0), (25, 12, 3.0), (30, 3, 2.0)]


def problem(classes, width):
    rng = np.random.Generator(np.random.PCG64(classes * 100 + width))
    return rng.standard_normal((classes, width)), 0.5 * rng.standard_normal(classes)


def objective(weight, bias, label):
    contrasts = np.delete(weight - weight[label], label, axis=0)
    offsets = np.delete(bias - bias[label], label)

    def value(point):
        return logsumexp(contrasts @ point + offsets)

    def gradient(point):
        return softmax(contrasts @ point + offsets) @ contrasts

    return value, gradient


@pytest.mark.parametrize(("classes", "width", "radius"), PROBLEMS)
def test_centres_are_those_of_sequential_quadratic_programming(classes, width, radius):
    weight, bias = problem(classes, width)
    found = sphere_centers(weight, bias, radius, np.arange(classes), tolerance=1e-9, iterations=1000)

    for label in range(classes):
        value, gradient = objective(weight, bias, label)
        inside = {
            "type": "ineq",
            "fun": lambda f: radius**2 - f @ f,
            "jac": lambda f: -2 * f,
        }
        start = 0.1 * radius * (weight[label] - weight.mean(axis=0))
        solved = minimize(
            value, start, jac=gradient, method="SLSQP", constraints=inside, options={"ftol": 1e-10, "maxiter": 1000}
        )
        assert solved.success
        assert value(found.points[label]) == pytest.approx(solved.fun, abs=1e-6)
        assert np.linalg.norm(found.points[label] - solved.x) < 1e-3 * radius
        assert found.interior[label] == (np.linalg.norm(solved.x) < 0.999 * radius)


def test_interior_minima_are_those_of_an_unconstrained_solver():
    weight, bias = problem(40, 2)
    found = sphere_centers(weight, bias, 20.0, np.arange(40), tolerance=1e-10)

    assert 20 < found.interior.sum() < 40  # points of the hull's rim have no finite minimum
    for label in np.flatnonzero(found.interior):
        value, gradient = objective(weight, bias, label)
        solved = minimize(value, np.zeros(2), jac=gradient, method="BFGS", options={"gtol": 1e-9})
        assert found.points[label] == pytest.approx(solved.x, abs=1e-3)
