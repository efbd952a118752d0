"""The projection onto three templates against least squares, and the rule that chooses the classes."""

import numpy as np
import pytest

from repaudit.metrics.projection import plane_share, telling_trio, template_plane


@pytest.fixture
def templates(rng):
    return rng.standard_normal((3, 9))


def projected(templates, points):
    """Where least squares puts each point in the affine plane."""
    span = (templates[1:] - templates[0]).T
    solved = np.linalg.lstsq(span, (points - templates[0]).T, rcond=None)[0]
    return templates[0] + (span @ solved).T


def test_distances_in_the_plane_are_those_of_orthogonal_projections(templates, rng):
    points = rng.standard_normal((20, 9))
    places, feet = template_plane(templates).coordinates(points), projected(templates, points)

    def distances(rows):
        return np.linalg.norm(rows[:, None] - rows[None], axis=2)

    assert distances(places) == pytest.approx(distances(feet), abs=1e-10)
    assert np.linalg.norm(places, axis=1) == pytest.approx(np.linalg.norm(feet - templates[0], axis=1))


def test_the_first_template_is_the_origin_the_second_lies_to_its_right_the_third_above(templates):
    first, second, third = template_plane(templates).coordinates(templates)

    assert first.tolist() == [0, 0]
    assert second == pytest.approx([np.linalg.norm(templates[1] - templates[0]), 0])
    assert third[1] > 0


@pytest.mark.parametrize("rows", [[[0, 0], [1, 1], [2, 2]], [[1, 0], [1, 0], [0, 1]], [[0], [1], [3]]])
def test_templates_on_a_line_span_no_plane(rows):
    assert template_plane(np.array(rows, dtype=np.float32)) is None


def test_the_share_is_one_in_the_plane_and_zero_across_it(templates, rng):
    plane = template_plane(templates)
    inside = templates[0] + rng.standard_normal((30, 2)) @ plane.axes
    across = np.linalg.svd(plane.axes)[2][2:]

    assert plane_share(inside, plane) == pytest.approx(1)
    assert plane_share(5 + rng.standard_normal((30, 7)) @ across, plane) == pytest.approx(0, abs=1e-20)
    assert plane_share(np.ones((4, 9)), plane) is None


def test_of_equal_variances_in_and_across_the_plane_half_is_in_it():
    plane = template_plane(np.eye(4)[:3] @ np.diag([1.0, 1, 1, 1]))
    corners = np.concatenate([plane.axes[0] * [[1], [-1]], np.eye(4)[3] * [[1], [-1]]])

    assert plane_share(corners, plane) == pytest.approx(0.5)


def test_the_pair_has_most_mistakes_between_its_classes_and_the_third_fewest_with_it():
    #         2→5 twice, 5→2 once: three between 2 and 5;  7→2 twice;  9 never with either
    labels = np.array([2, 2, 5, 7, 7, 9, 9, 9, 9])
    predictions = np.array([5, 5, 2, 2, 2, 7, 7, 7, 9])

    assert telling_trio(labels, predictions) == (2, 5, 9)


def test_without_mistakes_the_lowest_classes_that_occur_are_taken():
    labels = np.array([4, 1, 8, 3])

    assert telling_trio(labels, labels) == (1, 3, 4)


def test_predictions_of_classes_without_images_choose_no_pair():
    assert telling_trio(np.array([0, 1, 2, 0]), np.array([9, 9, 9, 9])) == (0, 1, 2)
    assert telling_trio(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 1])) is None
