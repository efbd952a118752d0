"""Every mark is in the file of pixels too, however few or many are drawn at once."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from repaudit.render.figures import to_png
from repaudit.render.figures._canvas import sheet
from repaudit.render.figures._marks import Shape, marks
from repaudit.render.figures._style import house_style
from repaudit.render.figures.palette import LIGHT

COLOUR, INSIDE = LIGHT["--accent-1"], LIGHT["--accent-2"]


def pixels_of(content):
    return imread(io.BytesIO(content), format="png")[:, :, :3]


def shown(pixels, points, colour):
    """Whether the pixel that holds each point, of which two make a point of the paper, has this colour."""
    columns = np.floor(2 * points[:, 0]).astype(int)
    rows = np.floor(len(pixels) - 2 * points[:, 1]).astype(int)
    return np.abs(pixels[rows, columns] - to_rgb(colour)).max(axis=1) < 0.1


@pytest.mark.parametrize("hollow", [None, INSIDE])
@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("count", [1, 3, 511, 600])
def test_each_mark_of_a_group_of_any_size_is_in_the_pixels(count, shape, hollow):
    place = np.arange(count)
    points = np.column_stack([10.3 + 13 * (place % 30), 10.7 + 14 * (place // 30)])
    written = io.BytesIO()
    with house_style():
        figure = sheet()
        marks(figure, points, shape, COLOUR, hollow=hollow)
        figure.savefig(written, format="png", dpi=144, facecolor="white")

    assert shown(pixels_of(written.getvalue()), points, hollow or COLOUR).all()


def test_each_estimate_of_a_class_is_in_the_file_of_pixels(whole, painted):
    drawing = whole["accuracy-per-class"]
    (axes,) = painted(drawing).axes
    points = axes.transData.transform(np.column_stack([[0.75, 0.95, 1.0], [0, 1, 2]]))
    beside_the_interval = points + np.array([0, 2.5])

    assert shown(pixels_of(to_png(drawing)), beside_the_interval, COLOUR).all()


def test_each_image_of_a_scatter_that_is_answered_rightly_is_in_the_file_of_pixels(whole, painted, data):
    drawing, scatter = whole["geometry-scatter"], data["geometry.scatter"]
    (axes,) = painted(drawing).axes
    right = np.flatnonzero(scatter["correct"])
    x, y = np.array(scatter["cosine_minimum_loss"], dtype=float)[right], np.array(scatter["rms"])[right]
    points = axes.transData.transform(np.column_stack([x, y]))
    paper = shown(pixels_of(to_png(drawing)), points, LIGHT["--paper"])

    assert not paper.any()
