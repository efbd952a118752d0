"""Smooth calibration error: where the integral is known, the code must agree."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr

from repaudit.metrics.smooth import smooth_error

samples = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@pytest.mark.parametrize("level", [0.0, 0.31, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("hits", [0, 6, 10])
def test_a_constant_confidence_is_off_by_its_distance_from_the_accuracy(level, hits):
    assert smooth_error(np.full(10, level), np.arange(10) < hits) == pytest.approx(abs(level - hits / 10), abs=1e-6)


def reflected_mass_below_half(sigma, centre):
    """Share of a Gaussian about `centre`, reflected for ever at 0 and 1, that lies in [0, 1/2]."""
    total = 0.0
    for period in range(-8, 9):
        for image in (2 * period + centre, 2 * period - centre):
            total += ndtr((0.5 - image) / sigma) - ndtr(-image / sigma)
    return total


@pytest.mark.parametrize("distance", [0.05, 0.2, 0.4])
def test_two_opposite_residuals_cancel_as_far_as_the_reflected_kernel_mixes_them(distance):
    low, high = 0.5 - distance, 0.5 + distance
    residual = (1 - low) / 2

    def error(sigma):
        return 2 * residual * (reflected_mass_below_half(sigma, low) - reflected_mass_below_half(sigma, high))

    expected = brentq(lambda sigma: error(sigma) - sigma, 1e-4, 1)

    assert smooth_error(np.array([low, high]), np.array([True, False])) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shift", [-0.4, -0.1, 0.0, 0.05, 0.3])
def test_the_error_is_that_of_the_integral_computed_directly(rng, shift):
    confidence = rng.uniform(0.4, 1, 300)
    correct = rng.random(300) < confidence - shift
    middle = (np.arange(4000) + 0.5) / 4000
    images = np.concatenate([2 * period + sign * confidence for period in range(-3, 4) for sign in (1, -1)])
    residual = np.tile(confidence - correct, 14) / 300

    def error(sigma):
        kernel = np.exp(-((middle[:, None] - images) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
        return np.abs(kernel @ residual).mean()

    found = smooth_error(confidence, correct)

    assert error(found) == pytest.approx(found, abs=1e-6)


@settings(deadline=None)
@given(samples)
def test_the_smooth_error_lies_between_the_signed_gap_and_the_mean_residual(sample):
    confidence, correct = np.array([c for c, _ in sample]), np.array([hit for _, hit in sample])
    error = smooth_error(confidence, correct)

    assert error >= abs((confidence - correct).mean()) - 1e-6
    assert error <= np.abs(confidence - correct).mean() + 1e-6


@settings(deadline=None)
@given(samples)
def test_swapping_right_with_wrong_and_confidence_with_doubt_changes_nothing(sample):
    confidence, correct = np.array([c for c, _ in sample]), np.array([hit for _, hit in sample])

    assert smooth_error(1 - confidence, ~correct) == pytest.approx(smooth_error(confidence, correct), abs=1e-6)


def test_calibrated_confidences_come_nearer_to_zero_with_more_images(rng):
    errors = []
    for n in (100, 1000, 50_000):
        confidence = rng.uniform(0.2, 1, n)
        errors.append(smooth_error(confidence, rng.random(n) < confidence))

    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01
    assert all(math.isfinite(error) for error in errors)


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="shape"):
        smooth_error(np.array([]), np.array([], dtype=bool))
