"""Means in groups with their bands, and how much of a displacement is radial."""

import numpy as np
import pytest
from scipy import stats

from repaudit.metrics.bands import group_bands
from repaudit.metrics.radial import isotropic_share, shrink_cosines


def test_every_group_has_the_mean_and_t_interval_of_scipy(rng):
    values, group = rng.normal(5, 2, 200), rng.integers(0, 4, 200)
    found = group_bands(values, group, 4)

    for number in range(4):
        mine = values[group == number]
        low, high = stats.t.interval(0.95, len(mine) - 1, loc=mine.mean(), scale=stats.sem(mine))
        assert found.count[number] == len(mine)
        assert found.mean[number] == pytest.approx(mine.mean(), rel=1e-12)
        assert found.sd[number] == pytest.approx(mine.std(ddof=1), rel=1e-12)
        assert (found.low[number], found.high[number]) == pytest.approx((low, high), rel=1e-12)


def test_groups_of_one_have_a_mean_only_and_empty_groups_and_nan_nothing():
    found = group_bands(np.array([3.0, np.nan, 1.0, 2.0, np.inf]), np.array([0, 0, 1, 1, 2]), 4)

    assert found.count.tolist() == [1, 2, 0, 0]
    assert found.mean[:2].tolist() == [3.0, 1.5]
    assert np.isnan(found.mean[2:]).all()
    assert np.isnan(found.sd[[0, 2, 3]]).all()
    assert np.isfinite([found.sd[1], found.low[1], found.high[1]]).all()


def test_a_large_common_offset_costs_no_digit(rng):
    values = rng.normal(0, 1, 50)
    shifted = group_bands(values + 2.0**30, np.zeros(50, dtype=int), 1)

    assert shifted.sd[0] == pytest.approx(values.std(ddof=1), rel=1e-6)


def test_moving_to_the_origin_is_one_away_from_it_minus_one_and_sideways_zero():
    feature = np.array([[3.0, 4.0]] * 5)
    moved = np.array([[1.5, 2.0], [6.0, 8.0], [-1.0, 7.0], [3.0, 4.0], [0.0, 4.0]])
    cosines = shrink_cosines(feature, moved)

    np.testing.assert_allclose(cosines[:3], [1, -1, 0], atol=1e-15)
    assert np.isnan(cosines[3])
    assert cosines[4] == pytest.approx(0.6)
    assert np.isnan(shrink_cosines(np.zeros((1, 2)), np.ones((1, 2)))[0])


def test_the_radial_part_and_the_rest_make_up_the_displacement(rng):
    features, moved = rng.normal(size=(30, 7)), rng.normal(size=(30, 7))
    share = np.abs(shrink_cosines(features, moved))
    change = moved - features
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    across = change - (change * unit).sum(1, keepdims=True) * unit

    np.testing.assert_allclose(share**2 + (across**2).sum(1) / (change**2).sum(1), 1, rtol=1e-12)


@pytest.mark.parametrize(("width", "share"), [(1, 1.0), (2, 2 / np.pi), (3, 0.5)])
def test_a_random_direction_has_the_radial_share_of_the_sphere(width, share):
    assert isotropic_share(width) == pytest.approx(share, rel=1e-12)


def test_a_random_direction_in_many_dimensions_agrees_with_draws(rng):
    draws = rng.normal(size=(20_000, 50))
    simulated = np.abs(draws[:, 0]) / np.linalg.norm(draws, axis=1)

    assert isotropic_share(50) == pytest.approx(simulated.mean(), abs=4 * simulated.std() / np.sqrt(len(draws)))
