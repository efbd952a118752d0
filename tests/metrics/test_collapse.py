import numpy as np
import pytest

from repaudit.metrics.collapse import neural_collapse


def simplex(classes, width, rng):
    """Rows of a simplex equiangular tight frame, rotated into `width` dimensions."""
    rotation, _ = np.linalg.qr(rng.standard_normal((width, width)))
    rows = np.zeros((classes, width))
    rows[:, :classes] = np.eye(classes) - 1 / classes
    return rows @ rotation


def mixture(rng, classes=6, width=10, per_class=40, noise=0.5):
    means = rng.standard_normal((classes, width))
    labels = np.repeat(np.arange(classes), per_class)
    features = means[labels] + noise * rng.standard_normal((len(labels), width))
    return features, labels, rng.standard_normal((classes, width))


def predict(features, weight):
    return (features @ weight.T).argmax(axis=1)


def test_a_collapsed_simplex_has_all_figures_zero(rng):
    frame = simplex(7, 12, rng)
    labels = np.repeat(np.arange(7), 5)
    features = 3 * frame[labels] + 11.0

    found = neural_collapse(features, labels, labels, 0.2 * frame)

    assert found.nc1 == pytest.approx(0, abs=1e-20)
    assert found.nc2_means_cv == pytest.approx(0, abs=1e-12)
    assert found.nc2_weights_cv == pytest.approx(0, abs=1e-12)
    assert found.nc2_angle == pytest.approx(0, abs=1e-12)
    assert found.nc3 == pytest.approx(0, abs=1e-12)
    assert found.nc4 == 0
    assert found.nc2_coherence is None


def test_nc1_of_isotropic_scatter_about_a_simplex_has_a_closed_form(rng):
    # M = r H with H the centring projector: M has m - 1 singular values r, so NC1 = (m - 1) sigma^2 / r^2
    classes, width, radius, sigma = 5, 5, 2.0, 0.3
    frame = radius * simplex(classes, width, rng)
    axes = sigma * np.sqrt(width) * np.vstack([np.eye(width), -np.eye(width)])
    labels = np.repeat(np.arange(classes), len(axes))
    features = frame[labels] + np.tile(axes, (classes, 1))

    found = neural_collapse(features, labels, labels, frame)

    assert found.nc1 == pytest.approx((classes - 1) * sigma**2 / radius**2, rel=1e-12)


@pytest.mark.parametrize(("classes", "width"), [(6, 10), (10, 6), (4, 3), (12, 2)])
def test_nc1_equals_a_float64_pseudo_inverse(rng, classes, width):
    features, labels, weight = mixture(rng, classes, width)
    means = np.array([features[labels == label].mean(axis=0) for label in range(classes)])
    within = np.cov((features - means[labels]).T, bias=True)
    between = np.cov(means.T, bias=True)

    found = neural_collapse(features, labels, predict(features, weight), weight)

    assert found.nc1 == pytest.approx(np.trace(within @ np.linalg.pinv(between)) / classes, rel=1e-9)


def test_nc1_survives_a_wide_spectrum_in_float32_features(rng):
    # Known by construction: means on orthogonal axes with scales over four decades, whitened scatter 0.01
    width, classes = 40, 41
    scales = np.logspace(0, -4, width)
    vertices = np.linalg.svd(np.eye(classes) - 1 / classes)[0][:, :width] * scales
    steps = np.vstack([np.eye(width), -np.eye(width)]) * np.sqrt(width) * 0.1 * scales
    labels = np.repeat(np.arange(classes), len(steps))
    features = (vertices[labels] + np.tile(steps, (classes, 1))).astype(np.float32)

    found = neural_collapse(features, labels, labels, vertices)

    assert found.nc1 == pytest.approx(width * 0.01, rel=1e-3)


def test_rotation_shift_and_scale_of_features_change_no_figure_but_nc3(rng):
    features, labels, weight = mixture(rng)
    predictions = predict(features, weight)
    rotation, _ = np.linalg.qr(rng.standard_normal((10, 10)))

    before = neural_collapse(features, labels, predictions, weight)
    after = neural_collapse(7 * features @ rotation + 3, labels, predictions, weight @ rotation)

    for name in ("nc1", "nc2_means_cv", "nc2_weights_cv", "nc2_angle", "nc3", "nc4"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-9), name


def test_nc2_and_nc3_equal_their_definitions_in_plain_loops(rng):
    features, labels, weight = mixture(rng)
    means = np.array([features[labels == label].mean(axis=0) for label in range(6)])
    means -= means.mean(axis=0)
    centered = weight - weight.mean(axis=0)
    pairs = [
        abs(means[i] @ means[j] / np.linalg.norm(means[i]) / np.linalg.norm(means[j]) + 1 / 5)
        for i in range(6)
        for j in range(6)
        if i != j
    ]

    found = neural_collapse(features, labels, predict(features, weight), weight)

    for name, rows in (("nc2_means_cv", means), ("nc2_weights_cv", centered)):
        lengths = [np.sqrt((row**2).sum()) for row in rows]
        assert getattr(found, name) == pytest.approx(np.std(lengths) / np.mean(lengths), rel=1e-12)
    assert found.nc2_angle == pytest.approx(np.mean(pairs), rel=1e-12)
    difference = weight / np.sqrt((weight**2).sum()) - means / np.sqrt((means**2).sum())
    assert found.nc3 == pytest.approx(np.sqrt((difference**2).sum()), rel=1e-12)


def test_four_means_on_a_square_exceed_the_welch_bound_by_root_three():
    corners = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    labels = np.repeat(np.arange(4), 2)

    found = neural_collapse(corners[labels], labels, labels, corners)

    assert found.nc2_coherence == pytest.approx(np.sqrt(3), rel=1e-12)
    assert found.nc2_angle is None


@pytest.mark.parametrize(("classes", "width"), [(5, 2), (9, 3), (30, 8)])
def test_no_arrangement_of_means_is_less_coherent_than_the_welch_bound(rng, classes, width):
    for _ in range(20):
        features, labels, weight = mixture(rng, classes, width, per_class=2)

        assert neural_collapse(features, labels, labels, weight).nc2_coherence >= 1


def test_nc4_counts_predictions_that_differ_from_the_nearest_mean(rng):
    features, labels, weight = mixture(rng, noise=2.0)
    predictions = predict(features, weight)
    means = np.array([features[labels == label].mean(axis=0) for label in range(6)])
    nearest = [np.argmin([((f - mean) ** 2).sum() for mean in means]) for f in features]

    found = neural_collapse(features, labels, predictions, weight)

    assert found.nc4 == np.mean(nearest != predictions)


def test_classes_without_images_are_left_out(rng):
    features, labels, weight = mixture(rng)
    spaced = np.zeros((12, 10))
    spaced[::2] = weight
    predictions = predict(features, weight)
    found = neural_collapse(features, 2 * labels, 2 * predictions, spaced)

    expected = neural_collapse(features, labels, predictions, weight)
    assert found.classes == 6
    for name in ("nc1", "nc2_means_cv", "nc2_angle", "nc3", "nc4"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12)


def test_one_image_a_class_gives_no_within_class_scatter(rng):
    features, labels, weight = mixture(rng, per_class=1)

    assert neural_collapse(features, labels, labels, weight).nc1 is None


def test_coinciding_means_leave_nc1_nc2_and_nc3_undefined():
    features = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])

    found = neural_collapse(features, np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.eye(2))

    assert (found.nc1, found.nc2_means_cv, found.nc2_angle, found.nc3) == (None, None, None, None)


def test_a_single_class_is_refused(rng):
    with pytest.raises(ValueError, match="only 1 has images"):
        neural_collapse(rng.standard_normal((5, 3)), np.zeros(5, dtype=int), np.zeros(5, dtype=int), np.eye(3))


@pytest.mark.parametrize("classes", [3, 7, 10])
def test_class_means_that_coincide_have_no_collapse_to_measure(rng, classes):
    same = rng.normal(size=(3, 16)) + 5
    features, labels = np.tile(same, (classes, 1)), np.repeat(np.arange(classes), 3)
    found = neural_collapse(features, labels, labels, rng.normal(size=(classes, 16)))

    assert (found.nc1, found.nc2_means_cv, found.nc2_angle, found.nc3) == (None, None, None, None)
