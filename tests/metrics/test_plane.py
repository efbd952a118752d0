"""Regions, loss and its minima over a plane of features, against closed forms and finite differences."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from repaudit.metrics.plane import confidence, free_minima, leading_share, loss_and_descent, region

WINDOW = np.array([[-3.0, -3.0], [3.0, 3.0]])
STAR = np.array([[np.cos(angle), np.sin(angle)] for angle in 2 * np.pi * np.arange(3) / 3])


@pytest.fixture
def head(rng):
    return rng.standard_normal((7, 2)), rng.standard_normal(7)


def test_a_region_holds_exactly_the_points_whose_highest_logit_is_its_class_s(head, rng):
    weight, bias = head
    points = rng.uniform(-3, 3, (4000, 2))
    logits = points @ weight.T + bias
    for label in range(7):
        corners = region(weight, bias, label, WINDOW)
        won = logits.argmax(axis=1) == label
        if not len(corners):
            assert not won.any()
            continue
        sides = np.roll(corners, -1, axis=0) - corners
        away = points[:, None, :] - corners[None]
        inside = (sides[:, 0] * away[..., 1] - sides[:, 1] * away[..., 0] >= -1e-9).all(axis=1)
        assert (inside == won).all()


def test_the_regions_fill_the_box_without_covering_one_another(head):
    def area(corners):
        return ConvexHull(corners).volume if len(corners) else 0.0

    assert sum(area(region(*head, label, WINDOW)) for label in range(7)) == pytest.approx(36)


def test_a_class_that_wins_nowhere_has_no_region():
    weight, bias = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]), np.array([0.0, 0.0, -10.0])

    assert region(weight, bias, 2, WINDOW).shape == (0, 2)
    assert region(weight, bias, 0, WINDOW)[:, 0].min() == 0


def test_confidence_is_the_highest_softmax_probability():
    weight, bias = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), np.array([0.0, 0.0, np.log(2)])
    # at (0, ln 2): e^0, e^(2 ln 2), 2, so that the second has 4/7
    assert confidence(np.array([[0.0, np.log(2)]]), weight, bias)[0] == pytest.approx(4 / 7, rel=1e-12)


def test_the_loss_falls_along_the_arrows_as_finite_differences_say(head, rng):
    points, step = rng.uniform(-3, 3, (20, 2)), 1e-5
    loss, descent = loss_and_descent(points, *head, 3)
    logits = points @ head[0].T + head[1]

    assert loss == pytest.approx(-np.log(np.exp(logits[:, 3]) / np.exp(logits).sum(axis=1)))
    for axis in range(2):
        shift = step * np.eye(2)[axis]
        slope = (
            (loss_and_descent(points + shift, *head, 3)[0] - loss_and_descent(points - shift, *head, 3)[0]) / 2 / step
        )
        assert descent[:, axis] == pytest.approx(-slope, abs=1e-8)


def test_a_class_in_the_middle_of_the_others_has_its_minimum_where_its_gradient_is_zero():
    weight = np.vstack([STAR, [[0.1, 0.05]]])
    found = free_minima(weight, np.array([0.3, 0.0, -0.2, 0.1]), 1.0, np.arange(4))

    assert found.finite.tolist() == [False, False, False, True]
    _, descent = loss_and_descent(found.points[3:], weight, np.array([0.3, 0.0, -0.2, 0.1]), 3)
    assert np.linalg.norm(descent) < 1e-5


def test_a_minimum_is_found_outside_of_the_ball_of_the_features_too():
    # w₃ = 0 and biases that move the point where the three others balance: z_j = w_j·f + b_j are equal at f = (8, 0)
    bias = np.append(-STAR @ [8.0, 0.0], 0.0)
    found = free_minima(np.vstack([STAR, [[0.0, 0.0]]]), bias, 1.0, np.array([3]))

    assert found.finite[3]
    assert found.points[3] == pytest.approx([8.0, 0.0], abs=1e-4)


def test_a_minimum_exists_exactly_where_the_others_surround_the_class(rng):
    for _ in range(4):
        weight = rng.standard_normal((6, 2))
        finite = free_minima(weight, 0.1 * rng.standard_normal(6), 3.0, np.arange(6)).finite
        for label in range(6):
            ways = np.delete(weight, label, axis=0) - weight[label]
            angles = np.sort(np.arctan2(ways[:, 1], ways[:, 0]))
            widest = np.diff(np.append(angles, angles[0] + 2 * np.pi)).max()
            if abs(widest - np.pi) > 0.05:  # nearer to a straight line the minimum lies beyond any radius
                assert finite[label] == (widest < np.pi)


def test_a_class_without_a_minimum_gets_the_ball_s_in_its_direction():
    # by symmetry the loss of the first class falls fastest along its own weights
    found = free_minima(STAR, np.zeros(3), 2.0, np.arange(3))

    assert not found.finite.any()
    assert found.points == pytest.approx(2 * STAR, abs=1e-5)


def test_the_leading_share_is_that_of_the_largest_variances(rng):
    axes = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    signs = np.array([[a, b, c, d] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for d in (-1, 1)])
    features = 100 + (signs * [3.0, 2.0, 1.0, 1.0]) @ axes.T  # variances 9, 4, 1, 1

    assert leading_share(features) == pytest.approx(13 / 15)
    assert leading_share(features[:, :2]) == pytest.approx(1)
    assert leading_share(np.full((5, 3), 0.1, dtype=np.float32)) is None
