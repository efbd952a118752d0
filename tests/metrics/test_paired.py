"""Differences between two models on the same images: against likelihoods maximised by scipy, McNemar and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from repaudit.metrics.intervals import Discordant, bound
from repaudit.metrics.paired import detectable, difference_of_means, difference_of_shares

tables = st.integers(1, 400).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)


def score(difference, gained, lost, n):
    """The score statistic of H0: p_gained − p_lost = difference, with nuisance parameters maximised numerically."""

    def unlikely(p):
        gain = p + difference
        rest = 1 - gain - p
        terms = [(gained, gain), (lost, p), (n - gained - lost, rest)]
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    p = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    variance = n * (2 * p + difference * (1 - difference))
    return (gained - lost - n * difference) / math.sqrt(variance)


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(12, 2, 50), (30, 25, 1000), (3, 9, 40), (5, 0, 30), (150, 86, 1600)]
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_bounds_are_where_the_score_test_turns_as_maximum_likelihood_finds_it(gained, lost, n, level):
    z, state = stats.norm.ppf(level), Discordant(gained, lost, n)

    assert score(bound(state, level, "lower"), gained, lost, n) == pytest.approx(z, abs=2e-3)
    assert score(bound(state, level, "upper"), gained, lost, n) == pytest.approx(-z, abs=2e-3)


@given(tables)
def test_zero_lies_outside_exactly_where_mcnemars_test_says_so(table):
    gained, lost, n = table
    z = stats.norm.ppf(0.95)
    mcnemar = (gained - lost) / math.sqrt(gained + lost) if gained + lost else 0.0
    if abs(abs(mcnemar) - z) < 1e-6:
        return

    state = Discordant(gained, lost, n)

    assert (bound(state, 0.95, "lower") > 0) == (mcnemar > z)
    assert (bound(state, 0.95, "upper") < 0) == (mcnemar < -z)


@given(tables)
def test_exchanging_the_models_turns_the_sign(table):
    gained, lost, n = table

    forward, back = Discordant(gained, lost, n), Discordant(lost, gained, n)

    assert bound(forward, 0.95, "upper") == pytest.approx(-bound(back, 0.95, "lower"), abs=1e-9)
    assert -1 <= bound(forward, 0.95, "lower") <= (gained - lost) / n <= bound(forward, 0.95, "upper") <= 1


def test_shares_are_told_apart_image_by_image():
    now, before = np.array([1, 1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 0, 1], bool)

    found = difference_of_shares(now, before)

    assert found.value == pytest.approx(1 / 6)
    assert found.interval.state == Discordant(2, 1, 6)
    assert found.n == 6


def test_one_sided_bounds_of_shares_cover_as_often_as_they_say():
    rng, truth, n = np.random.default_rng(5), 0.02, 400
    gained, lost, _ = rng.multinomial(n, [0.06, 0.04, 0.90], 4000).T
    pairs = zip(gained.tolist(), lost.tolist(), strict=True)
    covered = np.mean([bound(Discordant(b, c, n), 0.95, "lower") <= truth for b, c in pairs])

    assert 0.94 < covered < 0.965


def test_means_agree_with_the_paired_t_test_and_shared_noise_cancels(rng):
    base = rng.normal(0, 5, 4000)
    now = base + rng.normal(0.1, 0.5, 4000)

    found = difference_of_means(now, base, np.random.default_rng(0))

    expected = stats.ttest_rel(now, base).confidence_interval()
    assert found.value == pytest.approx((now - base).mean(), rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), rel=0.05)


def test_the_generator_alone_decides_the_resamples(rng):
    now, base = rng.normal(size=300), rng.normal(size=300)

    found = difference_of_means(now, base, np.random.default_rng(3))

    assert found == difference_of_means(now, base, np.random.default_rng(3))
    assert found != difference_of_means(now, base, np.random.default_rng(4))


def test_what_is_detectable_is_detected_four_times_of_five():
    n, rng = 400, np.random.default_rng(7)
    samples = rng.normal(0, 1, (40, n))
    differences = (difference_of_means(x, np.zeros(n), np.random.default_rng(seed)) for seed, x in enumerate(samples))
    shift = np.mean([detectable(each, 0.95) for each in differences])
    found = [
        (values := rng.normal(shift, 1, n)).mean() - stats.norm.ppf(0.95) * values.std(ddof=1) / math.sqrt(n) > 0
        for _ in range(4000)
    ]

    assert np.mean(found) == pytest.approx(0.8, abs=0.025)


def test_a_detectable_share_is_detected_four_times_of_five():
    n, rng = 1000, np.random.default_rng(8)
    shift = detectable(difference_of_shares(np.arange(n) < 50, np.arange(n)[::-1] < 50), 0.95)
    gained, lost, _ = rng.multinomial(n, [0.05 + shift / 2, 0.05 - shift / 2, 0.9], 1500).T
    found = [bound(Discordant(int(b), int(c), n), 0.95, "lower") > 0 for b, c in zip(gained, lost, strict=True)]

    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_pairs_of_different_lengths_or_none_are_refused():
    with pytest.raises(ValueError, match="same images"):
        difference_of_shares(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="no pair"):
        difference_of_means(np.empty(0), np.empty(0), np.random.default_rng(0))
