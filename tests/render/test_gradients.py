"""Pictures of gradients in the page, whatever a report holds in their place."""

import base64
import io

import pytest
from PIL import Image

from repaudit.finding import Figure
from repaudit.render.html.gradients import gradients
from repaudit.render.html.limits import LEVELS


def jpeg(grey: int = 128) -> str:
    written = io.BytesIO()
    Image.new("L", (8, 8), grey).save(written, "JPEG")
    return base64.b64encode(written.getvalue()).decode("ascii")


def entry(**changes):
    parts = [
        {"kind": "correct", "class": 3, "norm": 6.25, "jpeg": jpeg(1)},
        {"kind": "virtual", "class": 12, "norm": 0.5, "jpeg": jpeg(2)},
    ]
    return {"id": "a.png", "label": 3, "label_name": "cat", "jpeg": jpeg(), "gradients": parts} | changes


def found(make_report, *entries, level=0):
    return gradients(make_report(Figure(key="input_gradients.pictures", data={"images": list(entries)})), LEVELS[level])


def test_an_image_stands_before_its_gradients_with_their_names_and_norms(make_report):
    (row,) = found(make_report, entry()).rows

    assert [picture.title for picture in row] == ["cat", "gradient of cat", "gradient of virtual class 12"]
    assert [picture.note for picture in row] == ["a.png", "norm 6.25", "norm 0.500"]
    assert row[1].source == f"data:image/jpeg;base64,{jpeg(1)}"


@pytest.mark.parametrize(
    "bad", [None, 7, [], {}, entry(jpeg="http://evil.example/x.jpg"), entry(jpeg=jpeg() + '" onerror="x')]
)
def test_what_is_no_image_is_counted_and_not_shown(make_report, bad):
    view = found(make_report, bad, entry())

    assert (len(view.rows), view.left) == (1, 1)


def test_gradients_that_are_no_pictures_are_left_out_beside_their_image(make_report):
    parts = [
        None,
        "x",
        {"kind": "correct", "jpeg": "<svg>"},
        {"kind": "virtual", "class": "<b>", "norm": "a", "jpeg": jpeg()},
    ]
    (row,) = found(make_report, entry(gradients=parts)).rows

    assert [(picture.title, picture.note) for picture in row] == [
        ("cat", "a.png"),
        ("gradient of virtual class <b>", ""),
    ]


def test_a_page_without_room_shows_none_and_says_how_many(make_report):
    view = found(make_report, entry(), entry(), level=2)

    assert (view.rows, view.left) == ((), 2)


@pytest.mark.parametrize("images", [None, "x", []])
def test_a_report_without_pictures_has_no_such_part(make_report, images):
    report = make_report(Figure(key="input_gradients.pictures", data={"images": images}))

    assert gradients(report, LEVELS[0]) is None
