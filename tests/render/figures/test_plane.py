"""Drawings of a feature plane: regions where the head says, names beside them, three views of three features."""

import copy

import numpy as np
import pytest

from repaudit.render.figures._plane import colours, frame_of, read_plane, regions, winners


@pytest.fixture
def data(data):
    """Of these figures alone."""
    return {key: value for key, value in data.items() if key.startswith("plane.")}


@pytest.fixture
def plane(report_of, data):
    return read_plane(report_of(data))


def test_the_frame_holds_all_that_is_drawn_and_is_as_wide_as_high(plane):
    frame = frame_of(plane)
    drawn = np.vstack([plane.features, plane.means, plane.minima, frame.arrows * plane.weight, [[0, 0]]])

    assert ((drawn > frame.low) & (drawn < frame.high)).all()
    assert np.ptp(frame.high - frame.low) == pytest.approx(0)


def test_a_minimum_far_outside_is_told_with_its_place_and_does_not_shrink_the_features(drawn, data):
    near = drawn(data)["plane-features"]
    data["plane.classes"]["minimum"][3] = [200.0, -4000.0]
    far = drawn(data)["plane-features"]

    assert "200, -4e+03" in far.caption
    assert "Too far out" not in near.caption


def test_regions_beside_one_another_have_different_colours(report_of, data, rng):
    count = 40
    figures = copy.deepcopy(data)
    figures["plane.classes"] = {
        "name": None,
        "weight": rng.standard_normal((count, 2)).tolist(),
        "bias": (0.3 * rng.standard_normal(count)).tolist(),
        "mean": [None] * count,
        "minimum": [None] * count,
        "finite": [False] * count,
        "radius": 1.0,
    }
    plane = read_plane(report_of(figures))
    cells = winners(plane, frame_of(plane))
    chosen = colours(plane, cells)

    for here, there in ((cells[1:], cells[:-1]), (cells[:, 1:], cells[:, :-1])):
        assert (chosen[here[here != there]] != chosen[there[here != there]]).all()
    assert set(regions(plane, frame_of(plane), cells)) <= set(np.unique(cells))


def test_contours_of_confidence_lie_where_the_softmax_says(painted, drawn, data):
    from matplotlib.patches import PathPatch

    from repaudit.metrics.plane import confidence
    from repaudit.render.figures._confidence import LEVELS
    from repaudit.render.figures.palette import LIGHT

    drawing = drawn(data)["plane-confidence"]
    figure = painted(drawing)
    (axes,) = figure.axes
    checked = 0
    for patch in figure.findobj(PathPatch):
        step = next(
            (
                step
                for step in range(5)
                if patch.get_linewidth() == 1.6
                and patch.get_edgecolor()[:3]
                == pytest.approx(tuple(int(LIGHT[f"--confidence-{step + 2}"][k : k + 2], 16) / 255 for k in (1, 3, 5)))
            ),
            None,
        )
        if step is None:
            continue
        points = axes.transData.inverted().transform(patch.get_path().vertices * 72)
        weight, bias = np.array(data["plane.classes"]["weight"]), np.array(data["plane.classes"]["bias"])
        assert confidence(points, weight, bias) == pytest.approx(np.full(len(points), LEVELS[step]), abs=0.01)
        checked += 1

    assert checked >= 3


def test_three_features_are_drawn_from_three_sides_without_regions(drawn, data, boxes_of):
    wider = copy.deepcopy(data)
    for key in ("weight", "mean", "minimum"):
        wider["plane.classes"][key] = [None if row is None else [*row, 0.5] for row in data["plane.classes"][key]]
    wider["plane.features"]["feature"] = [[*row, 1.0] for row in data["plane.features"]["feature"]]
    found = {name: drawing for name, drawing in drawn(wider).items() if name.startswith("plane-")}

    assert set(found) == {"plane-features"}
    assert "regions would cover one another and are not drawn" in found["plane-features"].caption
    texts = [text for text, _ in boxes_of(found["plane-features"])[0]]
    assert sorted(text for text in texts if text.startswith("feature"))[0] == "feature 1"
    assert len({text for text in texts if text.startswith("feature")}) == 3


def test_rows_of_differing_widths_are_not_drawn(drawn, data):
    data["plane.classes"]["weight"][0] = [1.0, 2.0, 3.0]

    assert not any(name.startswith("plane-") for name in drawn(data))


def test_labels_of_classes_that_do_not_exist_are_not_drawn(drawn, data):
    data["plane.features"]["label"][0] = 4

    assert not any(name.startswith("plane-") for name in drawn(data))


def test_training_is_drawn_panel_by_panel_with_what_is_right_in_each(drawn, data, painted):
    drawing = drawn(data)["plane-training"]

    # the fourth image stands at its own class's weights after one epoch, at the first class's before and at the end
    assert "75.0\N{NO-BREAK SPACE}% right after 0; 100.0\N{NO-BREAK SPACE}% right after 1" in drawing.caption
    assert "3 of 9 snapshots" in drawing.caption
    assert len(painted(drawing).axes) == 3


@pytest.mark.parametrize("change", [("label", [0, 1, 2]), ("label", [0, 1, 2, 4]), ("snapshots", []), ("taken", None)])
def test_training_that_does_not_fit_together_leaves_the_other_planes(drawn, data, change):
    data["plane.training"][change[0]] = change[1]

    assert {"plane-features", "plane-confidence", "plane-loss"} == set(drawn(data))
