"""The nearest point of a hyperplane within the box, against bisection in float64 and against what must hold."""

import numpy as np
import pytest
import torch

from repaudit.attacks._box_projection import Slopes, displacements, lengths
from repaudit.attacks.threat import Norm

NORMS = list(Norm)
SIZE = 60


def cases(seed=0, rows=200, size=SIZE):
    """Points inside, on faces and in corners; slopes with zeros; heights of both signs, 0 and out of reach."""
    random = np.random.default_rng(seed)
    points = random.uniform(0, 1, (2, rows, size))
    points[:, ::3] = np.clip(random.normal(0.5, 0.6, points[:, ::3].shape), 0, 1)
    points[:, ::7] = points[:, ::7].round()
    slope = random.normal(size=(rows, size)) * np.exp(random.normal(size=(rows, size)))
    slope[::2] *= random.uniform(size=slope[::2].shape) < 0.6
    slope[4] = 0
    height = random.normal(size=(2, rows)) * np.exp(random.normal(size=(2, rows)) * 2)
    height[:, ::11] = 0
    return points.astype(np.float32), slope.astype(np.float32), height.astype(np.float32)


def moved(norm, points, slope, height):
    found = displacements(Slopes.of(torch.from_numpy(slope), norm), torch.from_numpy(points), torch.from_numpy(height))
    return found.numpy()


def bisected(norm, point, slope, height):
    """The same by bisection on the length of the move; (n,) float64."""
    point, slope = point.astype(np.float64), slope.astype(np.float64)
    direction = -np.sign(slope) * (1.0 if height >= 0 else -1.0)
    room = np.where(direction > 0, 1 - point, point)
    share = np.ones_like(slope) if norm is Norm.LINF else np.abs(slope)
    low, high = 0.0, 1e12
    for _ in range(300):
        middle = (low + high) / 2 if high < 1 or low > 0 else high / 2
        reached = (np.abs(slope) * np.minimum(middle * share, room)).sum()
        low, high = (middle, high) if reached < abs(float(height)) else (low, middle)
    return direction * np.minimum(high * share, room)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("kind", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-9)])
def test_moves_equal_those_of_bisection(norm, kind, tolerance):
    points, slope, height = (values.astype(kind) for values in cases())
    expected = [
        [bisected(norm, points[k, row], slope[row], height[k, row]) for row in range(len(slope))] for k in range(2)
    ]

    np.testing.assert_allclose(moved(norm, points, slope, height), expected, atol=tolerance)


@pytest.mark.parametrize("norm", NORMS)
def test_a_move_ends_on_the_hyperplane_or_at_the_end_of_the_box(norm):
    points, slope, height = cases(1)
    found = moved(norm, points, slope, height).astype(np.float64)
    ends = points + found

    assert ends.min() >= 0
    assert ends.max() <= 1 + 1e-6
    towards = np.where(slope * np.where(height >= 0, 1, -1)[..., None] > 0, 0.0, 1.0)
    exhausted = (np.isclose(ends, towards, atol=1e-6) | (slope == 0)).all(axis=2)
    reached = np.isclose((slope * found).sum(axis=2), -height, atol=1e-4, rtol=1e-5)
    assert (reached | exhausted).all()
    assert reached.mean() > 0.5
    assert (exhausted & ~reached).sum() > 10


@pytest.mark.parametrize("norm", NORMS)
def test_no_height_is_no_move_and_no_slope_neither(norm):
    points, slope, height = cases(2)
    found = moved(norm, points, slope, height)

    assert not found[height == 0].any()
    assert not found[:, (slope == 0).all(axis=1)].any()
    assert not found[:, slope == 0].any()


@pytest.mark.parametrize("norm", NORMS)
def test_far_from_the_faces_the_move_is_the_closed_form(norm):
    random = np.random.default_rng(3)
    points = random.uniform(0.4, 0.6, (2, 50, SIZE)).astype(np.float32)
    slope = random.normal(size=(50, SIZE)).astype(np.float32)
    height = random.uniform(-1, 1, (2, 50)).astype(np.float32)
    exact = slope.astype(np.float64)
    if norm is Norm.LINF:
        expected = -height[..., None] * np.sign(exact) / np.abs(exact).sum(axis=1)[:, None]
    else:
        expected = -height[..., None] * exact / (exact**2).sum(axis=1)[:, None]

    np.testing.assert_allclose(moved(norm, points, slope, height), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12])
def test_the_scale_of_the_slope_does_not_matter(norm, scale):
    points, slope, height = cases(4)
    plain = moved(norm, points, slope, height)
    scaled = moved(norm, points, (slope * np.float64(scale)).astype(np.float32), height * np.float32(scale))

    np.testing.assert_allclose(scaled, plain, atol=3e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [SIZE, 40_000])
def test_a_row_moves_the_same_beside_any_others_bit_for_bit(norm, size):
    rows = 200 if size == SIZE else 5
    points, slope, height = cases(5, rows, size)
    height[:, -2:] *= 1e3  # rows that take many more steps than others
    together = moved(norm, points, slope, height)

    for some in ([0], [3, 1], list(range(rows))[::-1]):
        alone = moved(norm, points[:, some], slope[some], height[:, some])
        np.testing.assert_array_equal(alone, together[:, some])


@pytest.mark.parametrize("norm", NORMS)
def test_the_length_of_a_move_is_that_of_numpy(norm):
    points, slope, height = cases(6)
    found = moved(norm, points, slope, height)
    exact = np.linalg.norm(found.astype(np.float64), ord=np.inf if norm is Norm.LINF else 2, axis=2)

    np.testing.assert_allclose(lengths(torch.from_numpy(found), norm), exact, rtol=1e-5)
