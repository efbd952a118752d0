"""What is drawn stands where the data say."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

SVG = "{http://www.w3.org/2000/svg}"


def texts_of(drawing):
    return [element.text for element in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]


def test_the_bars_of_reliability_end_at_the_accuracy_and_are_as_opaque_as_their_share(whole, painted):
    upper, lower = painted(whole["calibration-reliability"]).axes
    filled = [bar for bar in upper.patches if bar.get_alpha() is not None]

    assert [(bar.get_x(), bar.get_width(), bar.get_height(), bar.get_alpha()) for bar in filled] == [
        (0.25, 0.25, 0.5, 0.1),
        (0.5, 0.25, 0.5, 0.3),
        (0.75, 0.25, 0.8, 0.6),
    ]
    assert [bar.get_height() for bar in lower.patches] == [0.1, 0.3, 0.6]
    assert re.findall(r"opacity: ([\d.]+)", whole["calibration-reliability"].svg) == ["0.1", "0.3", "0.6"]


def test_the_file_has_the_bars_of_reliability_where_the_data_say(whole):
    paths = [
        element.attrib["d"]
        for element in ElementTree.fromstring(whole["calibration-reliability"].svg).iter(f"{SVG}path")
        if "opacity" in element.attrib.get("style", "")
    ]
    corners = [np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path), dtype=float) for path in paths]
    left, right = corners[0][:, 0].min(), corners[-1][:, 0].max()
    bottom, tops = corners[0][:, 1].max(), [points[:, 1].min() for points in corners]

    assert right - left == pytest.approx(0.75 * (420 - 54 - 22), abs=0.05)
    assert (bottom - tops[2]) / (bottom - tops[0]) == pytest.approx(0.8 / 0.5, abs=0.001)


def test_the_gap_of_reliability_is_told_for_the_bin_that_adds_most(whole):
    drawing = whole["calibration-reliability"]

    assert "0.75 to 1.00, holds 60 images with mean confidence 0.900 and accuracy 0.800" in drawing.alternative
    assert "ECE 0.12 (95 % interval 0.07 – 0.20)" in drawing.caption
    assert "60.0\N{NO-BREAK SPACE}% of the 100 images" in drawing.caption


def test_temperature_is_drawn_at_its_inverse(whole, painted):
    accuracy, ece = painted(whole["calibration-feature-scaling"]).axes
    features, temperature = (line.get_xydata().tolist() for line in ece.lines if len(line.get_xdata()) == 3)

    assert features == [[0.5, 0.2], [1.0, 0.1], [2.0, 0.15]]
    assert temperature == [[0.5, 0.3], [1.0, 0.1], [2.0, 0.12]]
    assert [line.get_xdata()[0] for line in accuracy.lines if len(set(line.get_xdata())) == 1] == [0.7, 1 / 1.6]
    assert "T = 1.60 takes ECE from 0.110 to 0.050" in whole["calibration-feature-scaling"].caption


@pytest.mark.parametrize(
    ("observed", "word"), [(0.055, "exceeds"), (0.05, "does not exceed"), (0.005, "does not exceed")]
)
def test_an_error_is_more_than_chance_above_the_95_percent_quantile_alone(drawn, data, painted, observed, word):
    # as the audit decides: between the quantiles of 95 % and 97.5 % it is more than chance, below all of them it is not
    band = {**data["calibration.null_band"], "observed": observed}
    drawing = drawn({"calibration.null_band": band})["calibration-null-band"]
    (axes,) = painted(drawing).axes
    outer = axes.patches[0]

    assert f" {word} 0.0500, " in drawing.caption
    assert "(p = 0.00100)" in drawing.caption
    assert (outer.get_x(), outer.get_x() + outer.get_width()) == (0, 0.05)


def test_a_null_band_without_the_quantile_that_decides_is_not_drawn(drawn, data):
    band = data["calibration.null_band"]
    without = {**band, "level": [level + 0.001 for level in band["level"]]}

    assert drawn({"calibration.null_band": without}) == {}


def test_bars_of_steps_hold_every_initially_correct_image(whole, painted):
    (axes,) = painted(whole["cones-steps"]).axes
    heights = {round(bar.get_x()): bar.get_height() for bar in axes.patches}

    assert sum(heights.values()) == pytest.approx(1)
    assert heights[85] == pytest.approx(10 / 90)
    assert heights[111] == pytest.approx(10 / 90)
    assert "half of the others by step 95" in whole["cones-steps"].caption


def test_a_scatter_has_a_mark_for_each_image_that_has_a_cosine(whole):
    paths = [element.attrib for element in ElementTree.fromstring(whole["geometry-scatter"].svg).iter(f"{SVG}path")]
    marks = [path for path in paths if "stroke: var(--confidence" in path.get("style", "")]
    dots = sum(path["d"].count("h0") for path in marks)
    crosses = sum(path["d"].count("M") for path in marks if "h0" not in path["d"]) / 2

    assert (dots, crosses) == (48, 11)  # one of the twelve wrong answers has no cosine


def test_without_points_of_minimum_loss_features_are_drawn_about_class_means(drawn, data):
    data["geometry.scatter"]["cosine_minimum_loss"] = [None] * 60
    data["geometry.cosine_histogram"]["minimum_loss"] = [0] * 40
    found = drawn({key: values for key, values in data.items() if key.startswith("geometry.")})

    assert "cosine to the class mean" in texts_of(found["geometry-scatter"])
    assert "cosine to the class mean" in texts_of(found["geometry-cosines"])


def test_attack_success_stands_over_the_middle_of_its_bin_and_leaves_out_empty_ones(whole, painted):
    upper = next(axes for axes in painted(whole["geometry-cosines"]).axes if axes.lines)
    for line in upper.lines:
        rates = line.get_ydata()
        assert rates[:4].tolist() == [1.0, 0.5, 0.25, 0.1]
        assert np.isnan(rates[4])
    middles = np.mean([line.get_xdata() for line in upper.lines], axis=0)  # moved aside by the same on either side

    assert middles == pytest.approx(np.arange(0.15, 0.6, 0.1))


def test_a_trend_is_told_with_the_share_of_the_images_that_is_least_aligned(whole):
    # 5 + 20 of 95 images lie in the first two bins, 65 in the first three: 65 is nearer to 47.5 than 25 is
    share, below, above = 65 / 95, (5 * 1 + 20 * 0.5 + 40 * 0.25) / 65, 0.1

    said = re.search(
        r"fgsm linf 8/255 breaks (\S+)\s% of the least aligned images \((\S+)\s% of all\) and (\S+)\s% of the others",
        whole["geometry-cosines"].alternative,
    )
    assert [float(text) for text in said.groups()] == pytest.approx([100 * below, 100 * share, 100 * above], abs=0.05)


@pytest.mark.parametrize("count", [[14, 200, 200], [400, 30, 10]])
def test_intervals_of_success_by_cosine_end_within_the_axis_where_wilson_says(drawn, data, painted, count):
    success = [0.0, 0.01, 0.0]
    sparse = {**data["robustness.fgsm.by_cosine"], "edges": [0.1, 0.2, 0.3, 0.4], "count": count, "success": success}
    names = ("robustness.fgsm.verdicts", "robustness.fgsm.by_cosine")
    drawing = drawn({names[0]: data[names[0]], names[1]: sparse})["geometry-cosines"]
    figure = painted(drawing)
    axes = next(axes for axes in figure.axes if axes.lines)
    expected = [wilson_ends(round(rate * n), n)[1] for rate, n in zip(success, count, strict=True)]
    paths = [artist.get_path().vertices * 72 for artist in figure.artists if hasattr(artist, "get_path")]
    ends = [axes.transData.inverted().transform(points)[1::2, 1] for points in paths if len(points) == 6]

    assert any(high == pytest.approx(expected, abs=1e-6) for high in ends)
    assert axes.get_ylim()[1] >= max(expected)


def test_a_saturated_attack_is_drawn_at_the_radius_that_tells_images_apart(whole):
    said = texts_of(whole["geometry-cosines"])

    assert said[said.index("pgd_w") + 1] == "linf 8/255"  # 20 × 0.4
    assert "linf 0.4/255" not in said


def test_each_norm_has_a_drawing_and_far_radii_a_logarithm(whole, painted):
    (linf,), (l2,) = (painted(whole[f"robustness-radius-{norm}"]).axes for norm in ("linf", "l2"))

    assert linf.get_xscale() == "log"
    assert l2.get_xscale() == "linear"
    assert l2.get_xlim()[0] == 0
    assert l2.get_ylim()[0] == 0


def wilson_ends(hits, n, z=1.959963984540054):
    centre, reach = hits + z * z / 2, z * np.sqrt(hits * (n - hits) / n + z * z / 4)
    return (centre - reach) / (n + z * z), (centre + reach) / (n + z * z)


def test_success_stands_at_its_radius_with_its_interval(whole, painted):
    figure = painted(whole["robustness-radius-l2"])
    (axes,) = figure.axes
    low, high = wilson_ends(60, 100)
    paths = [artist.get_path().vertices * 72 for artist in figure.artists if hasattr(artist, "get_path")]
    ends = [axes.transData.inverted().transform(points).ravel() for points in paths if len(points) == 2]

    assert any(points == pytest.approx([0.5, low, 0.5, high], abs=1e-6) for points in ends)


def test_only_keys_that_end_in_their_radius_make_a_series(attack_report):
    from repaudit.attacks import resolve_list
    from repaudit.render.figures._attacks import attacks
    from repaudit.render.figures.plots.robustness_radius import _series

    listed = resolve_list({"name": "fgsm", "epsilon": ["0.5/255", "1/255", "8/255"]})
    keys = {setting.key: setting.threat.epsilon for setting in listed} | {"pgd_2": 8 / 255, "pgd_20": 2 / 255}
    report = attack_report(keys)

    assert sorted((entry.name, len(entry.measured)) for entry in _series(report, attacks(report))) == [
        ("fgsm", 3),
        ("pgd_2", 1),
        ("pgd_20", 1),
    ]


@pytest.mark.parametrize(
    ("threshold", "said", "tied"),
    [
        ([0.9, 0.8, 0.7, 0.2], ", each with confidence of at least 0.700,", False),
        ([1.0, 0.9999994, 0.99998769, 0.999986], ", each with confidence of at least 0.999987,", False),
        ([0.3, 0.2, 0.00037, 0.0001], ", each with confidence of at least 0.0003,", False),
        ([1.0, 1.0, 1.0, 1.0], "", True),
        ([1.0, 0.9, 0.9, 0.9], "", True),
        ([1.0, 0.9, 0.7 + 1e-12, 0.7], "", False),
    ],
)
def test_a_confidence_is_told_where_it_divides_the_images_that_are_kept_from_the_next(
    drawn, data, threshold, said, tied
):
    curve = {**data["selective.risk_coverage"], "threshold": threshold}
    caption = drawn({"selective.risk_coverage": curve})["selective-risk-coverage"].caption

    assert caption.startswith(f"On the most confident 75.0\N{NO-BREAK SPACE}% of the 100 images{said} it errs 5.0")
    assert ("equally confident" in caption) == tied


def test_the_best_possible_order_is_never_worse_than_the_order_by_confidence(whole, painted):
    (axes,) = painted(whole["selective-risk-coverage"]).axes
    own, best = axes.lines

    assert list(own.get_ydata()) == [0.0, 0.02, 0.05, 0.1]
    # a tenth of the answers is wrong: only then, at the end, must errors be kept
    assert np.interp(own.get_xdata(), best.get_xdata(), best.get_ydata()) == pytest.approx([0, 0, 0, 0.1], abs=1e-9)


def test_classes_stand_from_the_least_known_downwards(whole, painted):
    (axes,) = painted(whole["accuracy-per-class"]).axes

    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "cat", "emu"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_many_classes_are_counted(drawn, painted):
    accuracy = [(k % 21) / 20 for k in range(1000)]
    data = {"class": list(range(1000)), "name": None, "images": [20] * 1000, "accuracy": accuracy}
    drawing = drawn({"accuracy.per_class": data})["accuracy-per-class"]
    (axes,) = painted(drawing).axes

    assert sum(bar.get_height() for bar in axes.patches) == 1000
    assert "lowest: “class 0” 0.0" in drawing.caption


def test_each_panel_of_perturbations_begins_at_zero_and_holds_every_point(whole, painted, data):
    figure = painted(whole["robustness-perturbation"])
    moved = [max(data[f"robustness.{key}.perturbation"]["perturbation_rms"]) for key in ("pgd_l2", "pgd_w", "fgsm")]

    assert [axes.get_ylim()[0] for axes in figure.axes] == [0, 0, 0]
    assert all(most < axes.get_ylim()[1] < 1.2 * most for axes, most in zip(figure.axes, moved, strict=True))


def test_a_trajectory_counts_queries_from_one_and_leaves_out_what_was_not_measured(whole, painted):
    margin, rms = painted(whole["robustness-trajectory"]).axes

    assert [line.get_xdata().tolist() for line in margin.lines] == [list(range(1, 9))] * 3
    assert margin.lines[0].get_ydata() == pytest.approx(np.linspace(5, 1, 8))
    assert len(rms.lines) == 3
    assert "mean cosine to the centre" not in texts_of(whole["robustness-trajectory"])


def test_the_mechanism_is_drawn_with_the_band_of_a_random_direction(whole, painted):
    (axes,) = painted(whole["robustness-mechanism"]).axes
    levels = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]

    assert sorted(levels) == [-0.1, 0, 0.1]
    assert axes.get_ylim() == (-1, 1)
