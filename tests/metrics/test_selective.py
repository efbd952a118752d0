"""Risk at every coverage: closed forms, ties and invariances."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repaudit.metrics.selective import risk_coverage

levels = st.sampled_from([0.2, 0.5, 0.9])
samples = st.lists(st.tuples(levels, st.booleans()), min_size=1, max_size=6)


def area_by_the_book(hits):
    """Mean over k of the error rate among the first k."""
    return np.mean([1 - np.mean(hits[:k]) for k in range(1, len(hits) + 1)])


def test_a_perfect_ranking_pays_only_for_the_errors_at_the_end():
    n, right = 100, 80
    expected = sum((k - right) / k for k in range(right + 1, n + 1)) / n

    result = risk_coverage(np.linspace(1, 0, n), np.arange(n) < right)

    assert result.area == pytest.approx(expected, rel=1e-12)
    assert result.risk[right - 1] == 0


def test_one_confidence_for_all_has_the_error_rate_at_every_coverage():
    result = risk_coverage(np.full(50, 0.7), np.arange(50) % 5 > 0)

    assert result.risk == pytest.approx(np.full(50, 0.2))


@given(samples)
def test_ties_give_the_mean_over_all_their_orders(sample):
    ranked = sorted(sample, key=lambda pair: -pair[0])
    orders = [order for order in permutations(ranked) if [c for c, _ in order] == [c for c, _ in ranked]]
    expected = np.mean([area_by_the_book([hit for _, hit in order]) for order in orders])

    result = risk_coverage(np.array([c for c, _ in sample]), np.array([hit for _, hit in sample]))

    assert result.area == pytest.approx(expected, abs=1e-12)


def test_only_the_order_of_confidences_counts(rng):
    confidence, correct = rng.random(80), rng.random(80) < 0.7

    assert risk_coverage(confidence, correct).area == risk_coverage(confidence**3, correct).area


def test_full_coverage_has_the_error_rate_of_the_model(rng):
    correct = rng.random(301) < 0.6

    assert risk_coverage(rng.random(301), correct).risk[-1] == pytest.approx(1 - correct.mean())


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="shape"):
        risk_coverage(np.array([]), np.array([], dtype=bool))
