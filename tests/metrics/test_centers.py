import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from repaudit.metrics.centers import class_means, descent_centers
from repaudit.metrics.frank_wolfe import sphere_centers


def head(seed, classes, width, scale=1.0, bias_scale=0.3):
    rng = np.random.Generator(np.random.PCG64(seed))
    return scale * rng.standard_normal((classes, width)), bias_scale * rng.standard_normal(classes)


def simplex(classes):
    return np.eye(classes) - 1 / classes


def loss(points, weight, bias, labels):
    """phi = logsumexp over the rivals of z_j - z_y."""
    margins = points @ weight.T + bias
    own = np.arange(len(labels)), labels
    margins = margins - margins[own][:, None]
    margins[own] = -np.inf
    top = margins.max(axis=1)
    return top + np.log(np.exp(margins - top[:, None]).sum(axis=1))


def test_class_means_equal_a_loop_over_classes_and_are_undefined_without_images(rng):
    features = rng.standard_normal((3000, 11)).astype(np.float32)
    labels = rng.integers(0, 6, 3000)
    chosen = (rng.random(3000) < 0.4) & (labels != 4)

    found = class_means(features, labels, chosen, 7)

    for label in (0, 1, 2, 3, 5):
        mine = features[chosen & (labels == label)].astype(np.float64)
        assert found.counts[label] == len(mine)
        assert found.means[label] == pytest.approx(mine.mean(axis=0), abs=1e-12)
    assert np.isnan(found.means[[4, 6]]).all()
    assert found.counts[[4, 6]].tolist() == [0, 0]


def test_class_means_of_large_float32_features_do_not_drift(rng):
    features = (1e6 + rng.standard_normal((5000, 3))).astype(np.float32)

    found = class_means(features, np.zeros(5000, dtype=int), np.ones(5000, dtype=bool), 1)

    assert found.means[0] == pytest.approx(features.astype(np.float64).mean(axis=0), rel=1e-12)


def test_with_two_classes_the_minimum_lies_along_the_difference_of_the_rows():
    weight, bias = head(0, 2, 6)

    found = sphere_centers(weight, bias, 3.0, np.arange(2))

    along = weight[0] - weight[1]
    assert found.points[0] == pytest.approx(3 * along / np.linalg.norm(along), abs=1e-9)
    assert found.points[1] == pytest.approx(-3 * along / np.linalg.norm(along), abs=1e-9)


@pytest.mark.parametrize("classes", [3, 10, 150])
def test_on_a_simplex_head_each_minimum_lies_along_its_own_row(classes):
    weight = simplex(classes)

    found = sphere_centers(weight, np.zeros(classes), 5.0, np.arange(classes))

    assert found.points == pytest.approx(5 * weight / np.linalg.norm(weight, axis=1, keepdims=True), abs=1e-6)
    assert not found.interior.any()


@settings(deadline=None, max_examples=25)
@example(0, 7, 2, 10.0)  # a minimum just inside the sphere, between two rivals
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 30), st.sampled_from([0.1, 1.0, 10.0]))
def test_no_point_of_the_ball_beats_the_centre_by_more_than_its_gap(seed, classes, width, radius):
    weight, bias = head(seed, classes, width)
    found = sphere_centers(weight, bias, radius, np.arange(classes))
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = rng.integers(0, classes, 500)
    others = rng.standard_normal((500, width))
    others *= radius * rng.random((500, 1)) ** 0.2 / np.linalg.norm(others, axis=1, keepdims=True)
    nearby = found.points[labels] + 0.01 * others
    nearby *= np.minimum(1, radius / np.linalg.norm(nearby, axis=1, keepdims=True))

    best = loss(found.points, weight, bias, np.arange(classes))

    assert np.linalg.norm(found.points, axis=1).max() <= radius * (1 + 1e-9)
    assert (found.gap <= 1e-6).all()
    for rivals in (others, nearby):
        assert (loss(rivals, weight, bias, labels) >= (best - found.gap)[labels] - 1e-9).all()


def test_on_the_sphere_the_point_is_parallel_to_the_gradient():
    weight, bias = head(5, 40, 64, scale=0.1)  # small enough that cross-entropy itself has a gradient left

    found = sphere_centers(weight, bias, 6.0, np.arange(40))

    points = torch.tensor(found.points, requires_grad=True)
    logits = points @ torch.tensor(weight).T + torch.tensor(bias)
    nn.functional.cross_entropy(logits, torch.arange(40), reduction="sum").backward()
    force = -points.grad
    cosine = (points.detach() * force).sum(1) / (points.detach().norm(dim=1) * force.norm(dim=1))
    assert not found.interior.any()
    assert (1 - cosine).max() < 1e-6
    assert found.misalignment == pytest.approx((1 - cosine).numpy(), abs=1e-9)


def test_a_vector_common_to_all_rows_moves_no_centre(rng):
    weight, bias = head(6, 30, 20)

    before = sphere_centers(weight, bias, 4.0, np.arange(30)).points
    after = sphere_centers(weight + 10 * rng.standard_normal(20), bias, 4.0, np.arange(30)).points

    assert after == pytest.approx(before, abs=1e-6)


def test_rotating_the_rows_rotates_the_centres(rng):
    weight, bias = head(7, 30, 20)
    rotation, _ = np.linalg.qr(rng.standard_normal((20, 20)))

    before = sphere_centers(weight, bias, 4.0, np.arange(30), tolerance=1e-10).points
    after = sphere_centers(weight @ rotation, bias, 4.0, np.arange(30), tolerance=1e-10).points

    assert after == pytest.approx(before @ rotation, abs=1e-4)


def test_a_class_is_solved_alike_alone_and_among_others():
    weight, bias = head(8, 300, 40)

    together = sphere_centers(weight, bias, 3.0, np.arange(300), tolerance=1e-10)
    alone = sphere_centers(weight, bias, 3.0, np.array([257]), tolerance=1e-10)

    assert alone.points[257] == pytest.approx(together.points[257], abs=1e-8)
    assert np.isnan(alone.points[:257]).all()


def test_dimensions_that_no_row_uses_change_nothing():
    weight, bias = head(9, 50, 4)  # 50 > 2 * 4 multiplies by the rows, 50 <= 2 * 44 by their Gram matrix
    padded = np.hstack([weight, np.zeros((50, 40))])

    narrow = sphere_centers(weight, bias, 2.0, np.arange(50), tolerance=1e-12)
    wide = sphere_centers(padded, bias, 2.0, np.arange(50), tolerance=1e-12)

    assert wide.points[:, :4] == pytest.approx(narrow.points, abs=1e-6)
    assert wide.points[:, 4:] == pytest.approx(0, abs=1e-12)


def test_a_class_between_two_others_has_its_minimum_inside_the_ball():
    # phi = log(exp(2f + .1) + exp(-f - .4)) is least at f = (log(1/2) - .4 - .1) / 3
    weight, bias = np.array([[0.0], [2.0], [-1.0]]), np.array([0.0, 0.1, -0.4])

    found = sphere_centers(weight, bias, 10.0, np.arange(3), tolerance=1e-12)

    assert found.interior.tolist() == [True, False, False]
    assert found.points[0, 0] == pytest.approx((np.log(0.5) - 0.5) / 3, abs=1e-6)
    assert np.isnan(found.misalignment[0])
    assert found.points[1:, 0].tolist() == pytest.approx([10, -10])


def test_a_minimum_at_the_origin_has_no_direction():
    weight = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])

    found = sphere_centers(weight, np.zeros(5), 10.0, np.arange(5))

    assert found.directionless.tolist() == [True, False, False, False, False]
    assert np.isnan(found.directed[0]).all()
    assert np.isfinite(found.directed[1:]).all()


def test_saturated_heads_neither_overflow_nor_stall():
    weight, bias = head(10, 60, 30, scale=300.0, bias_scale=100.0)

    with np.errstate(all="raise", under="ignore"):
        found = sphere_centers(weight, bias, 50.0, np.arange(60))

    assert np.isfinite(found.points).all()
    assert np.linalg.norm(found.points, axis=1) == pytest.approx(50)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_a_ball_without_a_radius_is_refused(radius):
    weight, bias = head(0, 3, 2)

    with pytest.raises(ValueError, match="no minimum-loss point"):
        sphere_centers(weight, bias, radius, np.arange(3))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("learning_rate", [0.01, 0.5])
def test_descent_follows_torch_step_by_step(schedule, learning_rate):
    weight, bias = head(11, 12, 5)
    points = torch.zeros(12, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([points], lr=learning_rate)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for _ in range(50):
        optimizer.zero_grad()
        logits = points @ torch.tensor(weight).T + torch.tensor(bias)
        nn.functional.cross_entropy(logits, torch.arange(12), reduction="sum").backward()
        optimizer.step()
        if schedule == "cosine":
            annealing.step()
    final = nn.functional.cross_entropy(
        points @ torch.tensor(weight).T + torch.tensor(bias), torch.arange(12), reduction="none"
    )

    found = descent_centers(weight, bias, np.arange(12), learning_rate=learning_rate, steps=50, schedule=schedule)

    assert found.points == pytest.approx(points.detach().numpy(), abs=1e-10)
    assert found.loss == pytest.approx(final.detach().numpy(), abs=1e-10)


def test_descent_leaves_classes_alone_that_were_not_asked_for():
    weight, bias = head(12, 6, 4)

    found = descent_centers(weight, bias, np.array([1, 4]))

    assert np.isfinite(found.points[[1, 4]]).all()
    assert np.isnan(found.points[[0, 2, 3, 5]]).all()
