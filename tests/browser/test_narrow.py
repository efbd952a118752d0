"""Tables on a phone: numbers are seen whole, and what lies beyond the edge is announced."""

import io

import pytest
from PIL import Image

from repaudit.render.page import counted, page

EDGES = """
const box = arguments[0].getBoundingClientRect();
return [box.left, box.right, box.top + box.height / 2].map(Math.round);
"""
ENDS = """
const frame = document.querySelector('.scroll:has(table.classes)').getBoundingClientRect();
return [...document.querySelectorAll('.scroll:first-of-type table.classes td.share')].slice(0, 20).map((cell) => {
  const text = document.createRange();
  text.selectNodeContents(cell);
  return frame.right - text.getBoundingClientRect().right;
});
"""
WIDE = '<div class="scroll" tabindex="0" role="region" aria-label="wide"><div style="{}; height: 80px"></div></div>'


def shades(browser, box) -> tuple[int, int]:
    """How far the left and the right edge of an element differ from the paper, 0 to 255."""
    left, right, middle = browser.run(EDGES, box)
    picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("L")
    paper = picture.getpixel((left + 100, middle))
    return abs(picture.getpixel((left + 1, middle)) - paper), abs(picture.getpixel((right - 2, middle)) - paper)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_edge_beyond_which_a_table_goes_on_is_shaded(browser, tmp_path, scheme):
    path = tmp_path / "page.html"
    path.write_text(page("x", WIDE.format("width: 900px")), encoding="utf-8")
    browser.open(path, width=360, scheme=scheme)
    box = browser.driver.find_element("css selector", ".scroll")

    at_the_start = shades(browser, box)
    browser.run("arguments[0].scrollLeft = 9999", box)
    at_the_end = shades(browser, box)

    assert at_the_start[0] < 8 < at_the_start[1]
    assert at_the_end[1] < 8 < at_the_end[0]


def test_a_table_that_fits_has_no_shade(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page("x", WIDE.format("width: 200px")), encoding="utf-8")
    browser.open(path, width=360)

    assert max(shades(browser, browser.driver.find_element("css selector", ".scroll"))) < 8


@pytest.mark.parametrize("width", [320, 360])
def test_the_share_of_every_class_is_seen_whole(browser, full_page, width):
    browser.open(full_page, width=width, height=740)

    assert min(browser.run(ENDS)) >= 0


def test_the_bar_of_a_class_stands_beside_its_number_however_long_the_name(browser, full_page):
    browser.open(full_page, width=360, height=740)
    cell = "return getComputedStyle(document.querySelector('td.share'))[arguments[0]]"
    tall = browser.run("return Math.max(...[...document.querySelectorAll('td.share')].map((c) => c.clientHeight))")

    assert tall > 100
    assert browser.run(cell, "verticalAlign") == "middle"
    assert browser.run(cell, "backgroundPositionY") == "50%"
    assert float(browser.run(cell, "backgroundSize").split()[1].removesuffix("px")) < 30


@pytest.mark.parametrize(
    ("count", "many", "said"),
    [
        (1, "more metrics", "1 more metric"),
        (1, "classes", "1 class"),
        (1, "lines", "1 line"),
        (2, "classes", "2 classes"),
    ],
)
def test_one_is_counted_in_the_singular(count, many, said):
    assert counted(count, many) == said
