"""Binned calibration errors against their definitions, closed forms and invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from repaudit.metrics.binning import bin_index, equal_mass, equal_width
from repaudit.metrics.calibration import (
    classwise_error,
    expected_error,
    maximum_error,
    over_part,
    signed_root,
    squared_error,
    under_part,
)
from repaudit.metrics.intervals import bound
from repaudit.metrics.resampling import debiased_interval, null_errors, poisson_sums


def ece(confidence, correct, bins=15):
    return float(expected_error(equal_width(np.asarray(confidence), np.asarray(correct), bins=bins).sums()))


def ece_by_the_book(confidence, correct, bins):
    """Guo et al. (2017), one bin (a, b] after another."""
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if b / bins < c <= (b + 1) / bins or (b == 0 and c == 0)]
        if inside:
            total += abs(sum(correct[i] for i in inside) - sum(confidence[i] for i in inside))
    return total / len(confidence)


def calibrated(rng, n):
    confidence = rng.uniform(0.1, 1, n)
    return confidence, rng.random(n) < confidence


samples = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@pytest.mark.parametrize("bins", [1, 5, 10, 15, 20])
def test_an_edge_belongs_to_the_bin_below_it(bins):
    edges = np.arange(1, bins + 1) / bins

    assert bin_index(edges, bins).tolist() == list(range(bins))


def test_zero_lies_in_the_first_bin_and_one_in_the_last():
    assert bin_index(np.array([0.0, 1.0]), 15).tolist() == [0, 14]


def test_a_float32_third_lies_above_the_edge_that_a_float64_third_lies_on():
    assert bin_index(np.array([np.float64(1 / 3), np.float64(np.float32(1 / 3))]), 3).tolist() == [0, 1]


def test_half_at_eight_tenths_all_right_and_half_at_one_all_wrong_is_six_tenths():
    confidence = np.repeat([0.8, 1.0], 500)

    assert ece(confidence, np.repeat([True, False], 500), bins=5) == pytest.approx(0.6, abs=1e-12)


def test_confidence_of_exactly_one_shares_the_last_bin():
    assert ece(np.array([0.95, 1.0]), np.array([True, False]), bins=10) == pytest.approx(0.475, abs=1e-12)


@given(samples, st.integers(1, 20))
def test_the_error_equals_the_textbook_loop(sample, bins):
    confidence = [math.floor(c * 1000) / 1000 + 1e-4 if c < 0.999 else c for c, _ in sample]
    correct = [hit for _, hit in sample]

    assert ece(confidence, correct, bins) == pytest.approx(ece_by_the_book(confidence, correct, bins), abs=1e-12)


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_the_images_decides_nothing(sample, random):
    shuffled = random.sample(sample, len(sample))
    results = []
    for version in (sample, shuffled):
        confidence, correct = np.array([c for c, _ in version]), np.array([hit for _, hit in version])
        for partition in (equal_width(confidence, correct), equal_mass(confidence, correct)):
            sums = partition.sums()
            results += [expected_error(sums), maximum_error(sums), squared_error(sums, debiased=True)]

    assert results[:6] == pytest.approx(results[6:], abs=1e-12)


@given(samples)
def test_the_error_is_the_sum_of_its_parts_and_the_signed_gap_their_difference(sample):
    confidence, correct = np.array([c for c, _ in sample]), np.array([hit for _, hit in sample])
    sums = equal_width(confidence, correct).sums()

    assert over_part(sums) + under_part(sums) == pytest.approx(expected_error(sums), abs=1e-12)
    assert over_part(sums) - under_part(sums) == pytest.approx(confidence.mean() - correct.mean(), abs=1e-12)


@given(samples)
def test_every_image_twice_changes_no_plain_error(sample):
    confidence, correct = np.array([c for c, _ in sample]), np.array([hit for _, hit in sample])
    once = equal_width(confidence, correct).sums()
    twice = equal_width(np.tile(confidence, 2), np.tile(correct, 2)).sums()

    assert expected_error(twice) == pytest.approx(expected_error(once), abs=1e-12)
    assert maximum_error(twice) == pytest.approx(maximum_error(once), abs=1e-12)


def test_a_constant_confidence_is_off_by_its_distance_from_the_accuracy():
    correct = np.arange(100) < 70

    for partition in (equal_width, equal_mass):
        sums = partition(np.full(100, 0.9), correct).sums()
        assert expected_error(sums) == pytest.approx(0.2, abs=1e-12)
        assert maximum_error(sums) == pytest.approx(0.2, abs=1e-12)


def test_the_maximum_error_is_that_of_the_worst_bin_however_few_its_images():
    confidence = np.array([0.1, *[0.9] * 99])
    correct = np.array([True, *[True] * 89, *[False] * 10])

    assert maximum_error(equal_width(confidence, correct).sums()) == pytest.approx(0.9, abs=1e-12)


def test_equal_mass_bins_differ_by_at_most_one_image_where_nothing_ties(rng):
    counts = equal_mass(rng.random(1003), rng.random(1003) < 0.5, bins=15).sums().count

    assert len(counts) == 15
    assert counts.max() - counts.min() <= 1


def test_equal_confidences_share_an_equal_mass_bin():
    confidence = np.repeat([0.3, 0.5, 1.0], [5, 40, 5])

    partition = equal_mass(confidence, np.arange(50) % 2 == 0, bins=10)

    assert partition.sums().count.tolist() == [5, 40, 5]


def test_sums_lie_in_the_bins_whose_edges_are_given(rng):
    confidence = rng.beta(5, 2, 200)
    for partition in (equal_width(confidence, confidence > 0.5), equal_mass(confidence, confidence > 0.5)):
        sums = partition.sums()
        mean = sums.confidence / sums.count

        assert (partition.edges[partition.occupied] < mean).all()
        assert (mean <= partition.edges[partition.occupied + 1]).all()


def test_the_debiased_square_is_zero_on_average_for_calibrated_confidences(rng):
    squares = []
    plain = []
    for _ in range(2000):
        sums = equal_mass(*calibrated(rng, 150)).sums()
        squares.append(float(squared_error(sums, debiased=True)))
        plain.append(float(squared_error(sums, debiased=False)))
    standard_error = np.std(squares) / math.sqrt(len(squares))

    assert abs(np.mean(squares)) < 4 * standard_error
    assert np.mean(plain) > 20 * standard_error


def test_the_debiased_square_of_one_bin_is_its_closed_form():
    correct = np.arange(50) < 30
    sums = equal_mass(np.full(50, 0.8), correct).sums()

    assert squared_error(sums, debiased=True) == pytest.approx(0.2**2 - 0.6 * 0.4 / 49, abs=1e-12)


def test_bins_of_a_single_image_add_nothing_to_the_squared_error():
    sums = equal_mass(np.array([0.2, 0.9]), np.array([True, False]), bins=15).sums()

    assert squared_error(sums, debiased=False) == 0


def test_the_signed_root_keeps_the_sign():
    assert signed_root(np.array([-0.04, 0.0, 0.09])).tolist() == pytest.approx([-0.2, 0, 0.3])


def classwise_by_the_book(logits, labels, bins):
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    errors = []
    for k in range(p.shape[1]):
        kept = [i for i in range(len(p)) if p[i, k] > 1 / p.shape[1]]
        if kept:
            errors.append(ece_by_the_book([p[i, k] for i in kept], [labels[i] == k for i in kept], bins))
    return np.mean(errors)


def test_the_classwise_error_is_the_mean_of_each_classs_own_above_chance(rng):
    logits = rng.normal(0, 2, (300, 7))
    labels = rng.integers(0, 7, 300)

    result = classwise_error(logits, labels, np.logaddexp.reduce(logits, axis=1))

    assert result is not None
    assert result.error == pytest.approx(classwise_by_the_book(logits, labels, 15), abs=1e-12)


def test_renaming_the_classes_leaves_the_classwise_error(rng):
    logits = rng.normal(0, 2, (200, 5))
    labels = rng.integers(0, 5, 200)
    renamed = rng.permutation(5)
    normaliser = np.logaddexp.reduce(logits, axis=1)

    before = classwise_error(logits, labels, normaliser)
    after = classwise_error(logits[:, np.argsort(renamed)], renamed[labels], normaliser)

    assert before.error == pytest.approx(after.error, abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 3.7, -1e3])
@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_uniform_probabilities_do_not_exceed_chance_by_rounding(classes, offset):
    logits = np.full((4, classes), offset)

    assert classwise_error(logits, np.zeros(4, dtype=int), np.logaddexp.reduce(logits, axis=1)) is None


def test_the_null_error_of_one_bin_is_the_mean_absolute_deviation_of_a_binomial(rng):
    n, p = 200, 0.9
    hits = np.arange(n + 1)
    expected = (binom.pmf(hits, n, p) * np.abs(hits / n - p)).sum()
    partition = equal_width(np.full(n, p), np.ones(n, dtype=bool))

    errors = null_errors(partition, resamples=4000, generator=rng)

    assert errors.mean() == pytest.approx(expected, abs=4 * errors.std() / math.sqrt(4000))


def test_the_null_error_adds_up_over_bins(rng):
    levels = (np.arange(15) + 0.5) / 15
    counts = np.arange(10, 160, 10)
    hits = [np.arange(count + 1) for count in counts]
    expected = (
        sum(
            (binom.pmf(hit, count, p) * np.abs(hit - count * p)).sum()
            for hit, count, p in zip(hits, counts, levels, strict=True)
        )
        / counts.sum()
    )
    confidence = np.repeat(levels, counts)

    errors = null_errors(equal_width(confidence, confidence > 2), resamples=3000, generator=rng)

    assert errors.mean() == pytest.approx(expected, abs=4 * errors.std() / math.sqrt(3000))


@pytest.mark.parametrize(("n", "published"), [(1000, 0.032), (5000, 0.015)])
def test_a_calibrated_model_shows_the_error_that_was_measured_for_so_many_images(rng, n, published):
    logits = rng.normal(0, 4, (n, 10))
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    partition = equal_width(p.max(axis=1), np.ones(n, dtype=bool))

    assert null_errors(partition, resamples=300, generator=rng).mean() == pytest.approx(published, rel=0.1)


def test_the_null_error_does_not_depend_on_what_was_right(rng):
    confidence = rng.random(300)
    one, other = (
        null_errors(equal_width(confidence, right), resamples=50, generator=np.random.default_rng(1))
        for right in (confidence > 2, confidence < 2)
    )

    assert (one == other).all()


def test_poisson_weights_scatter_a_sum_as_the_closed_form_says(rng):
    confidence, correct = calibrated(rng, 400)
    one_bin = equal_width(confidence, correct, bins=1)

    (replicates,) = poisson_sums([one_bin], 400, resamples=5000, generator=rng)

    gaps = replicates.gap[:, 0]
    assert gaps.mean() == pytest.approx((confidence - correct).sum(), abs=4 * gaps.std() / math.sqrt(5000))
    assert gaps.std() == pytest.approx(math.sqrt(((confidence - correct) ** 2).sum()), rel=0.05)
    assert replicates.count.mean() == pytest.approx(400, rel=0.01)


def test_an_image_has_the_same_weight_in_every_partition(rng):
    confidence, correct = calibrated(rng, 120)
    rows = rng.permutation(120)
    half, rest = rows[:50], rows[50:]
    partitions = [
        equal_width(confidence, correct, bins=1),
        equal_mass(confidence[half], correct[half], bins=1, rows=half),
        equal_width(confidence[rest], correct[rest], bins=1, rows=rest),
    ]

    whole, first, second = poisson_sums(partitions, 120, resamples=20, generator=rng)

    assert first.count + second.count == pytest.approx(whole.count)
    assert first.confidence + second.confidence == pytest.approx(whole.confidence)
    assert first.correct + second.correct == pytest.approx(whole.correct)


def test_resamples_do_not_depend_on_how_many_are_drawn_at_a_time(rng, monkeypatch):
    confidence, correct = calibrated(rng, 90)
    draws = []
    for elements in (1 << 21, 1000):
        monkeypatch.setattr("repaudit.metrics.resampling.ELEMENTS", elements)
        partition = equal_width(confidence, correct)
        (sums,) = poisson_sums([partition], 90, resamples=33, generator=np.random.default_rng(5))
        draws.append((sums.correct, null_errors(partition, resamples=33, generator=np.random.default_rng(6))))

    assert draws[0][0] == pytest.approx(draws[1][0])
    assert draws[0][1] == pytest.approx(draws[1][1])


def test_the_debiased_interval_covers_the_truth_about_as_often_as_it_says():
    truth, covered, runs, n = 0.08, 0, 300, 800
    for run in range(runs):
        generator = np.random.default_rng(run)
        confidence = generator.uniform(0.5, 0.9, n)
        partition = equal_mass(confidence, generator.random(n) < confidence - truth)
        (replicates,) = poisson_sums([partition], n, resamples=200, generator=generator)
        state = debiased_interval(partition.sums(), replicates).state
        covered += bound(state, 0.975, "lower") <= truth <= bound(state, 0.975, "upper")

    assert 0.91 <= covered / runs <= 0.99


@settings(max_examples=20)
@given(samples)
def test_an_interval_of_the_debiased_error_is_finite_for_any_images(sample):
    confidence, correct = np.array([c for c, _ in sample]), np.array([hit for _, hit in sample])
    partition = equal_mass(confidence, correct)
    (replicates,) = poisson_sums([partition], len(sample), resamples=20, generator=np.random.default_rng(0))
    interval = debiased_interval(partition.sums(), replicates)

    assert math.isfinite(interval.low)
    assert interval.low <= interval.high


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        (np.array([]), np.array([], dtype=bool), "no image"),
        (np.array([0.5]), np.array([True, False]), "shape"),
        (np.array([1.2]), np.array([True]), r"\[0, 1\]"),
        (np.array([np.nan]), np.array([True]), r"\[0, 1\]"),
    ],
)
def test_what_is_no_confidence_is_refused(confidence, correct, message):
    with pytest.raises(ValueError, match=message):
        equal_width(confidence, correct)
