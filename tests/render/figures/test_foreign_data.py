"""A report is foreign: names act on nothing, and data that make no sense cost their own figure only."""

import re
from importlib import import_module
from xml.etree import ElementTree

import pytest

from repaudit.render.figures import drawings, names, to_png, to_svg_file
from repaudit.render.figures._inks import Inks
from repaudit.render.figures._style import house_style
from repaudit.render.figures.palette import LIGHT

SVG = "{http://www.w3.org/2000/svg}"
NAMES = [
    "<script>alert(1)</script>",
    "</svg><img src=x onerror=alert(1)>",
    "\"double\" 'single' & &lt;",
    "$x^2$ & <b>",
    "$\\frac{",
    "first\nsecond\u2028third",
    "\x1b[31mred\x07",
    "\u202edrowssap",
    "before\x00after\ufffe",
    "x" * 10_000,
    "W" * 40,
    "犬" * 40,
    "stray \udcff byte",
    "var(--ink) url(#a) #fe0100",
    "  ",
    "",
]
BAD = [None, "text", True, -1, 2.5, 1e300, 10**400, [], {}, [None], [[1]], [0.5] * 30_000]


def test_foreign_names_of_classes_stay_text_within_the_paper(drawn, boxes_of):
    n = len(NAMES)
    data = {"class": list(range(n)), "name": NAMES, "images": [10] * n, "accuracy": [k / n for k in range(n)]}
    drawing = drawn({"accuracy.per_class": data})["accuracy-per-class"]
    found = [element.text for element in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    boxes, paper = boxes_of(drawing)

    assert "$x^2$ & <b>" in found
    assert "class 15" in found
    assert not re.search(r"<(script|img|b)\b", drawing.svg)
    assert min(box.x0 for _, box in boxes) > 0
    assert max(box.x1 for _, box in boxes) < paper.width
    ElementTree.fromstring(to_svg_file(drawing).encode())
    assert to_png(drawing)[:4] == b"\x89PNG"


def test_foreign_names_of_attacks_stay_text_within_the_paper(attack_report, boxes_of):
    for keys in (NAMES[:6], NAMES[6:13]):
        found = drawings(attack_report({key.replace(".", ""): 8 / 255 for key in keys}))
        assert {drawing.name for drawing in found} == {
            "geometry-cosines",
            "robustness-perturbation",
            "robustness-radius-linf",
            "robustness-trajectory",
        }
        for drawing in found:
            boxes, paper = boxes_of(drawing)
            assert not re.search(r"<(script|img|b)\b", drawing.svg)
            assert len(drawing.caption) < 700
            assert drawing.caption.isprintable() or set(drawing.caption) & {"\N{NO-BREAK SPACE}"}
            assert min(box.x0 for _, box in boxes) > -0.5
            assert max(box.x1 for _, box in boxes) < paper.width + 0.5


def broken(data):
    """Each figure with each of its entries missing or replaced by what it cannot be."""
    for key in data:
        for name in data[key]:
            without = {other: value for other, value in data[key].items() if other != name}
            yield key, without
            for bad in BAD:
                yield key, {**without, name: bad}
            if isinstance(data[key][name], list):
                yield key, {**without, name: data[key][name][:-1]}
                yield key, {**without, name: [*data[key][name], data[key][name][0]]}
                yield key, {**without, name: [None] * len(data[key][name])}
                yield key, {**without, name: data[key][name][::-1]}


def test_data_that_make_no_sense_never_stop_the_other_figures(report_of, data):
    data = {key: value for key, value in data.items() if ".pgd_l2." not in key}
    sound = report_of(data)
    plots = {name: import_module(f"repaudit.render.figures.plots.{name}").plot for name in names()}
    tried = 0
    with house_style():
        for key, value in broken(data):
            report = sound.model_copy(update={"figures": {**sound.figures, key: value}})
            family = key.partition(".")[0]
            for name, plot in plots.items():
                if plot.audit != family and (family, name) != ("robustness", "geometry_cosines"):
                    continue
                for sketch in plot.sketches(report):
                    tried += 1
                    if tried % 50 == 0:
                        sketch.paint(Inks.of(LIGHT))

    assert tried > 1000


@pytest.mark.parametrize(
    ("keys", "lost"),
    [
        (["accuracy.per_class", "geometry.scatter"], {"accuracy-per-class", "geometry-scatter"}),
        (["calibration.reliability", "cones.steps"], {"calibration-reliability", "cones-steps"}),
        (["calibration.null_band", "robustness.pgd_l2.verdicts"], {"calibration-null-band", "robustness-radius-l2"}),
        (
            ["calibration.feature_scaling", "robustness.mechanism"],
            {"calibration-feature-scaling", "robustness-mechanism"},
        ),
    ],
)
def test_broken_data_leave_out_their_figure_only(report_of, whole, data, keys, lost):
    for key in keys:
        data[key] = dict.fromkeys(data[key], "broken")
    found = {drawing.name for drawing in drawings(report_of(data))}

    assert set(whole) - found == lost


def test_one_image_is_enough_to_draw(report_of, data):
    nothing = [None] * 3
    data["accuracy.per_class"] = {"class": [7], "name": ["only"], "images": [1], "accuracy": [0.0]}
    data["geometry.scatter"] = {
        "images": 1, "rms": [0.0], "confidence": [1.0], "correct": [False], "cosine_minimum_loss": [1.0],
    }  # fmt: skip
    data["calibration.reliability"] |= {
        "count": [0, 0, 0, 1], "confidence": [*nothing, 1.0], "accuracy": [*nothing, 0.0],
    }  # fmt: skip
    data["selective.risk_coverage"] = {"coverage": [1.0], "risk": [1.0], "threshold": [1.0], "images": 1}
    data["cones.steps"] |= {"images": 1, "first_misclassified": [0] * 100, "never": 1}
    data["robustness.fgsm.perturbation"] = {"rms": [1.0], "perturbation_rms": [0.0], "broken": [True]}
    data["robustness.fgsm.trajectory"] |= {"query": [0], "count": [1], "n": 1}
    data["robustness.fgsm.trajectory"] |= {name: {"mean": [1.0]} for name in ("rms", "cosine", "margin")}
    found = {drawing.name: drawing for drawing in drawings(report_of(data))}

    assert "1 image," in found["geometry-scatter"].caption
    assert "of the 1 image lie" in found["calibration-reliability"].caption
    assert "accuracy of 1 class " in found["accuracy-per-class"].caption
