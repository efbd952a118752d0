import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from repaudit.metrics.alignment import cosines_to, feature_norms, leave_one_out_cosines, pearson, spearman
from repaudit.metrics.centers import class_means
from repaudit.metrics.row_space import contrast_basis, row_space_share


def cosine(left, right):
    return left @ right / (np.linalg.norm(left) * np.linalg.norm(right))


def test_cosines_equal_a_loop_over_images(rng):
    features = rng.standard_normal((700, 9)).astype(np.float32)
    centers = rng.standard_normal((5, 9))
    classes = rng.integers(0, 5, 700)

    found = cosines_to(features, feature_norms(features), centers, classes)

    expected = [cosine(f.astype(np.float64), centers[c]) for f, c in zip(features, classes, strict=True)]
    assert found == pytest.approx(expected, abs=1e-14)


def test_cosines_with_a_missing_centre_or_a_zero_feature_are_undefined(rng):
    features = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    centers = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 0.0]])

    found = cosines_to(features, feature_norms(features), centers, np.array([0, 0, 1]))
    zero = cosines_to(features, feature_norms(features), centers, np.array([2, 2, 2]))

    assert found[0] == 1
    assert np.isnan(found[1:]).all()
    assert np.isnan(zero).all()


def test_leave_one_out_equals_recomputing_the_mean_without_each_image(rng):
    features = 1 + rng.standard_normal((60, 7))
    labels = rng.integers(0, 12, 60)
    means = class_means(features, labels, np.ones(60, dtype=bool), 12)
    norms = feature_norms(features)
    whole = cosines_to(features, norms, means.means, labels)

    found = leave_one_out_cosines(whole, norms, np.linalg.norm(means.means, axis=1)[labels], means.counts[labels])

    alone = means.counts[labels] == 1
    assert np.isnan(found[alone]).all()
    for row in np.flatnonzero(~alone):
        others = (labels == labels[row]) & (np.arange(60) != row)
        assert found[row] == pytest.approx(cosine(features[row], features[others].mean(axis=0)), abs=1e-9)


def test_two_opposite_images_align_perfectly_with_their_other_only_when_equal():
    features = np.array([[3.0, 0.0], [0.0, 1.0]])
    means = class_means(features, np.zeros(2, dtype=int), np.ones(2, dtype=bool), 1)
    norms = feature_norms(features)
    whole = cosines_to(features, norms, means.means, np.zeros(2, dtype=int))

    found = leave_one_out_cosines(whole, norms, np.full(2, np.linalg.norm(means.means[0])), np.full(2, 2))

    assert whole.min() > 0.3
    assert found == pytest.approx([0, 0], abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(3, 200), st.integers(2, 20))
def test_correlations_equal_scipy_with_and_without_ties(seed, n, levels):
    rng = np.random.Generator(np.random.PCG64(seed))
    x = rng.integers(0, levels, n).astype(float)
    y = x + rng.integers(0, levels, n)
    x[0], x[1], y[0], y[1] = -1.0, levels + 1.0, 0.0, 3.0 * levels

    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


def test_spearman_ignores_monotone_maps_and_pearson_ignores_affine_ones(rng):
    x, y = rng.standard_normal(100), rng.standard_normal(100)

    assert spearman(np.exp(x), y**3) == pytest.approx(spearman(x, y), abs=1e-12)
    assert pearson(1e6 + 2 * x, -y) == pytest.approx(-pearson(x, y), abs=1e-9)


@pytest.mark.parametrize("correlate", [pearson, spearman])
def test_a_constant_has_no_correlation(correlate):
    assert correlate(np.ones(5), np.arange(5.0)) is None
    assert correlate(np.arange(5.0), np.ones(5)) is None
    assert correlate(np.array([]), np.array([])) is None


def test_the_contrast_span_leaves_out_what_is_common_to_all_rows(rng):
    weight = rng.standard_normal((5, 12))

    basis = contrast_basis(weight)
    shifted = contrast_basis(weight + 100 * rng.standard_normal(12))

    assert basis.shape == (12, 4)
    assert basis.T @ basis == pytest.approx(np.eye(4), abs=1e-12)
    assert shifted @ shifted.T == pytest.approx(basis @ basis.T, abs=1e-9)


def test_features_in_the_contrast_span_have_share_one_and_orthogonal_ones_zero(rng):
    weight = rng.standard_normal((5, 12))
    contrasts = weight[1:] - weight[0]
    inside = rng.standard_normal((20, 4)) @ contrasts
    projector = np.linalg.pinv(contrasts) @ contrasts
    outside = rng.standard_normal((20, 12)) @ (np.eye(12) - projector)

    share_inside = row_space_share(inside, feature_norms(inside), contrast_basis(weight)).share
    share_outside = row_space_share(outside, feature_norms(outside), contrast_basis(weight)).share

    assert share_inside == pytest.approx(1, abs=1e-12)
    assert share_outside == pytest.approx(0, abs=1e-12)


def test_row_space_shares_equal_a_least_squares_projection(rng):
    weight = rng.standard_normal((4, 10))
    features = 2 + rng.standard_normal((1500, 10))
    contrasts = (weight[1:] - weight[0]).T

    def inside(vectors):
        return (contrasts @ np.linalg.lstsq(contrasts, vectors.T)[0]).T

    found = row_space_share(features, feature_norms(features), contrast_basis(weight))

    centered = features - features.mean(axis=0)
    expected = (inside(features) ** 2).sum(axis=1) / (features**2).sum(axis=1)
    assert found.share == pytest.approx(expected, abs=1e-10)
    assert found.centered == pytest.approx((inside(centered) ** 2).sum() / (centered**2).sum(), abs=1e-10)


def test_float32_features_lose_no_more_than_rounding(rng):
    weight = rng.standard_normal((20, 50))
    features = (5 + rng.standard_normal((300, 50))).astype(np.float32)
    basis = contrast_basis(weight)

    single = row_space_share(features, feature_norms(features), basis)
    double = row_space_share(features.astype(np.float64), feature_norms(features), basis)

    assert single.share == pytest.approx(double.share, abs=1e-6)
    assert single.centered == pytest.approx(double.centered, abs=1e-4)


def test_equal_features_have_no_centred_share():
    features = np.ones((5, 3))

    assert row_space_share(features, feature_norms(features), np.eye(3)[:, :2]).centered is None


def test_rounding_noise_is_neither_a_trend_nor_a_rank(rng):
    ones = 1 - rng.integers(0, 3, 40) * 2.2e-16
    other = rng.normal(size=40)
    tied = np.repeat([0.2, 0.5, 0.9], 30)
    noisy = tied * (1 + rng.integers(-2, 3, 90) * 1.1e-16)

    assert pearson(ones, other) is None
    assert spearman(ones, other) is None
    assert spearman(noisy, np.arange(90.0)) == spearman(tied, np.arange(90.0))


def test_the_mean_of_the_others_is_the_opposite_where_two_features_cancel():
    feature = np.array([3.0, 4.0])
    both = np.stack([feature, -feature])
    norms = feature_norms(both)
    cosines = cosines_to(both, norms, both.mean(axis=0, keepdims=True), np.zeros(2, dtype=int))

    np.testing.assert_allclose(leave_one_out_cosines(cosines, norms, np.zeros(2), np.full(2, 2)), [-1, -1])
