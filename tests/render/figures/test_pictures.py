"""The pictures: they stand together in any page, follow its theme, and are the same every time."""

import io
import re
import struct
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from repaudit.render.figures import drawings, names, to_png, to_svg_file
from repaudit.render.figures._inks import STAND_INS
from repaudit.render.figures._marks import spread
from repaudit.render.figures.palette import DARK, LIGHT

SVG = "{http://www.w3.org/2000/svg}"
SURFACES = {"light": (LIGHT, ["#ffffff", "#f6f7f9"]), "dark": (DARK, ["#111418", "#1a1e24"])}


def test_every_file_of_the_folder_draws_what_a_full_report_holds(whole):
    stems = {name.replace("_", "-") for name in names()}

    assert {stem for stem in stems if not any(name.startswith(stem) for name in whole)} == set()


def test_a_report_without_figures_has_no_drawings(make_report):
    assert drawings(make_report()) == ()


def test_each_drawing_names_its_audit_and_tells_its_numbers_in_words(whole):
    for drawing in whole.values():
        assert drawing.name.startswith(f"{drawing.audit}-")
        assert re.fullmatch(r"[a-z0-9-]+", drawing.name)
        assert drawing.title
        assert re.search(r"\d", drawing.caption), drawing.name
        assert re.search(r"\d", drawing.alternative), drawing.name


def test_ids_differ_between_all_drawings_of_a_page_and_every_reference_has_its_own(whole):
    seen = []
    for drawing in whole.values():
        root = ElementTree.fromstring(drawing.svg)
        own = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        said = " ".join(value for element in root.iter() for value in element.attrib.values())
        used = re.findall(r"url\(#([^)]+)\)", said)
        used += [element.attrib["href"].removeprefix("#") for element in root.iter() if "href" in element.attrib]
        used += root.attrib["aria-labelledby"].split()
        assert set(used) == set(own)
        seen += own

    assert len(seen) == len(set(seen))


def test_a_drawing_for_a_page_has_only_colours_of_its_theme(whole):
    for drawing in whole.values():
        styles = " ".join(element.attrib.get("style", "") for element in ElementTree.fromstring(drawing.svg).iter())
        colours = re.findall(r"(?:fill|stroke): ([^\s;]+)", styles)
        assert set(colours) - {"none"} <= {f"var({name})" for name in LIGHT}, drawing.name
        assert "#" not in re.sub(r"url\(#", "", styles)
        assert not any(colour in drawing.svg for colour in STAND_INS.values())


def test_a_drawing_refers_to_nothing_outside_itself(whole):
    for drawing in whole.values():
        assert drawing.svg.count("http") == 1
        assert drawing.svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        for forbidden in ("<style", "<script", "<image", "<foreignObject", "@import", "<metadata", "<!DOCTYPE"):
            assert forbidden not in drawing.svg


def test_a_drawing_for_a_page_takes_the_width_of_its_place_and_names_itself_to_screen_readers(whole):
    for drawing in whole.values():
        root = ElementTree.fromstring(drawing.svg)
        assert "width" not in root.attrib
        assert root.attrib["viewBox"].startswith("0 0 420 ")
        assert root.attrib["role"] == "img"
        assert root.find(f"{SVG}title").text == drawing.title
        assert root.find(f"{SVG}desc").text == drawing.alternative


def test_the_same_report_gives_the_same_bytes_whatever_the_settings_of_matplotlib(whole, drawn):
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path", "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        again = drawn()
        picture = to_png(again["cones-steps"])
        assert dict(mpl.rcParams) == before

    assert picture == to_png(whole["cones-steps"])
    assert {name: drawing.svg for name, drawing in again.items()} == {
        name: drawing.svg for name, drawing in whole.items()
    }


def test_a_file_stands_alone_in_light_colours(whole):
    for drawing in whole.values():
        text = to_svg_file(drawing)
        assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
        assert "var(" not in text
        assert ElementTree.fromstring(text.encode()).attrib["width"] == "840"
        assert set(re.findall(r": (#[0-9a-f]{6})", text)) <= set(LIGHT.values())


def test_a_png_has_two_pixels_a_point(whole):
    content = to_png(whole["geometry-scatter"])

    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (840, 680)


def test_a_png_stands_on_light_paper_that_nothing_shows_through(whole):
    for name in ("calibration-reliability", "geometry-scatter"):
        pixels = imread(io.BytesIO(to_png(whole[name])), format="png")
        assert pixels[0, 0].tolist() == [*to_rgb(LIGHT["--paper"]), 1]
        assert (pixels[:, :, 3] == 1).all()


def test_no_text_is_cut_off_or_covers_another(whole, boxes_of):
    for drawing in whole.values():
        boxes, paper = boxes_of(drawing)
        for place, (text, box) in enumerate(boxes):
            assert min(box.x0, box.y0) > -0.5, (drawing.name, text)
            assert box.x1 < paper.width + 0.5, (drawing.name, text)
            assert box.y1 < paper.height + 0.5, (drawing.name, text)
            for other, beside in boxes[:place]:
                across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
                down = min(box.y1, beside.y1) - max(box.y0, beside.y0)
                assert min(across, down) < 1, (drawing.name, text, other)


def luminance(colour):
    """Of WCAG 2.2."""
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("theme", SURFACES)
def test_what_is_drawn_stands_out_from_paper_and_surface(theme):
    colours, surfaces = SURFACES[theme]
    for name, colour in colours.items():
        if name not in {"--paper", "--grid"}:
            for surface in surfaces:
                dark, light = sorted([luminance(colour), luminance(surface)])
                assert (light + 0.05) / (dark + 0.05) >= (4.5 if name in {"--ink", "--muted"} else 3), name


def test_no_colour_of_a_theme_is_taken_for_a_stand_in():
    assert LIGHT.keys() == DARK.keys() == STAND_INS.keys()
    assert set(STAND_INS.values()).isdisjoint([*LIGHT.values(), *DARK.values()])
    assert len(set(STAND_INS.values())) == len(STAND_INS)


def test_names_beside_lines_keep_their_order_and_do_not_cover_one_another():
    assert spread([10, 50], [16, 16]) == [10, 50]
    assert spread([50, 10], [16, 16]) == [10, 50]
    assert spread([20, 20], [16, 16]) == [12, 28]
    assert spread([20, 20, 30], [16, 16, 16]) == pytest.approx([70 / 3 - 16, 70 / 3, 70 / 3 + 16])


def test_a_scatter_of_two_thousand_images_is_small(drawn):
    rng = np.random.default_rng(0)
    data = {
        "images": 50_000,
        "rms": rng.normal(1, 0.1, 2000).clip(0).tolist(),
        "confidence": rng.random(2000).tolist(),
        "correct": (rng.random(2000) < 0.8).tolist(),
        "cosine_minimum_loss": rng.uniform(0, 1, 2000).tolist(),
    }

    assert len(drawn({"geometry.scatter": data})["geometry-scatter"].svg) < 80_000


def test_nothing_that_opens_windows_is_imported(make_report, data, tmp_path):
    from repaudit.finding import Figure
    from repaudit.report import write

    path = tmp_path / "report.json"
    write(make_report(Figure(key="cones.steps", data=data["cones.steps"])), path)
    code = f"""
from pathlib import Path
from repaudit.report import read
from repaudit.render.figures import drawings, to_png
import sys
report = read(Path({str(path)!r}))
assert "matplotlib" not in sys.modules
(drawing,) = drawings(report)
to_png(drawing)
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"matplotlib.pyplot", "torch", "pandas", "sklearn"}.isdisjoint(loaded)
