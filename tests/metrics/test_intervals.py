"""Intervals against published tables, scipy and simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from repaudit.metrics.intervals import (
    Correlation,
    Counts,
    Mean,
    Replicates,
    basic_bootstrap,
    bound,
    fisher_pearson,
    fisher_spearman,
    student,
    wilson,
)

LINEAR = tuple(np.arange(1, 200) / 200)
states = st.one_of(
    st.builds(lambda k, extra: Counts(k, k + extra), st.integers(0, 500), st.integers(1, 500)),
    st.builds(Mean, st.floats(-5, 5), st.floats(0, 3), st.integers(2, 1000)),
    st.builds(Correlation, st.floats(-3, 3), st.floats(0.01, 1)),
    st.just(Replicates(0.5, LINEAR, 0.0)),
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_proportions_have_the_score_limits_that_newcombe_published(successes, trials, low, high):
    interval = wilson(successes, trials)

    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportions_have_scipys_wilson_limits(pair):
    expected = stats.binomtest(*pair).proportion_ci(method="wilson")
    interval = wilson(*pair)

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_means_have_scipys_t_limits(rng):
    values = rng.normal(3, 2, 17)
    expected = stats.ttest_1samp(values, 0).confidence_interval()

    interval = student(values)

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_pearson_has_scipys_fisher_limits(rng):
    x = rng.normal(size=40)
    result = stats.pearsonr(x, x + rng.normal(size=40))
    expected = result.confidence_interval()

    interval = fisher_pearson(float(result.statistic), 40)

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_spearman_is_wider_than_pearson_by_the_factor_of_bonett_and_wright():
    r, n = 0.6, 50
    width = {
        name: math.atanh(interval.high) - math.atanh(interval.low)
        for name, interval in (("spearman", fisher_spearman(r, n)), ("pearson", fisher_pearson(r, n)))
    }

    assert width["spearman"] / width["pearson"] == pytest.approx(math.sqrt(1 + r * r / 2), rel=1e-12)


def test_the_spearman_interval_covers_the_truth_about_as_often_as_it_says(rng):
    rho = 0.7
    truth = 6 / math.pi * math.asin(rho / 2)
    covered = 0
    for _ in range(400):
        x = rng.normal(size=100)
        y = rho * x + math.sqrt(1 - rho * rho) * rng.normal(size=100)
        interval = fisher_spearman(float(stats.spearmanr(x, y).statistic), 100)
        covered += interval.low <= truth <= interval.high

    assert 0.915 <= covered / 400 <= 0.98


def test_a_perfect_correlation_has_a_finite_interval():
    interval = fisher_pearson(1.0, 10)

    assert interval.low < 1 <= interval.high + 1e-9


def test_a_basic_bootstrap_interval_is_the_quantiles_reflected_about_the_point(rng):
    replicates = rng.normal(2.5, 0.3, 4000)

    interval = basic_bootstrap(2.0, replicates, floor=None)

    low, high = np.quantile(replicates, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((4 - high, 4 - low), rel=1e-9)


def test_replicates_that_lie_too_high_push_the_interval_down(rng):
    interval = basic_bootstrap(0.025, rng.normal(0.034, 0.006, 2000))

    assert interval.low < 0.016 < interval.high
    assert interval.high < 0.034


def test_an_interval_is_cut_at_the_smallest_possible_value():
    replicates = np.linspace(0.02, 0.4, 500)

    assert basic_bootstrap(0.1, replicates).low == 0
    assert basic_bootstrap(0.1, replicates, floor=None).low < 0


@given(states)
def test_a_two_sided_interval_ends_where_one_sided_bounds_of_half_the_doubt_lie(state):
    low, high = bound(state, 0.95, "lower"), bound(state, 0.95, "upper")

    assert low <= high
    assert bound(state, 0.99, "lower") <= low
    assert high <= bound(state, 0.99, "upper")


def test_a_one_sided_wilson_bound_is_the_end_of_the_two_sided_ninety_percent_interval():
    expected = stats.binomtest(40, 100).proportion_ci(confidence_level=0.9, method="wilson")

    assert bound(Counts(40, 100), 0.95, "lower") == pytest.approx(expected.low, abs=1e-12)
    assert bound(Counts(40, 100), 0.95, "upper") == pytest.approx(expected.high, abs=1e-12)


@pytest.mark.parametrize("level", [0.5, 1.0, 95.0, -0.1])
def test_a_level_outside_a_half_to_one_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        bound(Counts(1, 2), level, "lower")


def test_replicates_do_not_pretend_to_a_level_that_their_quantiles_do_not_reach():
    state = Replicates(0.5, LINEAR, None)

    assert bound(state, 0.995, "upper") == pytest.approx(0.995)
    with pytest.raises(ValueError, match="reach"):
        bound(state, 0.999, "upper")


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 5), (0, 0)])
def test_what_is_no_proportion_is_refused(successes, trials):
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, trials)


def test_too_few_values_are_refused():
    with pytest.raises(ValueError, match="two values"):
        student(np.array([1.0]))
    with pytest.raises(ValueError, match="3 pairs"):
        fisher_pearson(0.5, 3)
    with pytest.raises(ValueError, match="correlation"):
        fisher_spearman(1.5, 30)


def test_neither_an_interval_nor_a_bound_promises_what_the_quantity_cannot_be():
    cosines = np.array([0.9, 0.99, 0.7])
    cut = student(cosines, least=-1.0, most=1.0)

    assert student(cosines).high > 1
    assert (cut.low, cut.high) == (student(cosines).low, 1.0)
    assert bound(cut.state, 0.99, "upper") == 1.0
    assert bound(cut.state, 0.99, "lower") == bound(student(cosines).state, 0.99, "lower")


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_a_proportion_of_none_or_all_is_its_own_bound_for_every_count(level):
    for trials in range(1, 3000):
        assert bound(Counts(trials, trials), level, "upper") == 1.0
        assert bound(Counts(0, trials), level, "lower") == 0.0
