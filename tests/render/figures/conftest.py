"""A report that has the data of every figure, small and made up, and the drawings of it."""

import json

import numpy as np
import pytest
from matplotlib.text import Text

from repaudit.finding import Better, Figure, Measurement, Unit
from repaudit.metrics.intervals import wilson
from repaudit.render.figures import drawings
from repaudit.render.figures._inks import Inks
from repaudit.render.figures._style import house_style
from repaudit.render.figures.palette import LIGHT
from repaudit.report.document import parse

ATTACKS = {"fgsm": ("linf", 8 / 255, 0.3), "pgd_w": ("linf", 0.4 / 255, 0.02), "pgd_l2": ("l2", 0.5, 0.6)}
QUERIES = 8


def measurement(key, value, n=100, unit=Unit.FRACTION):
    successes = round(value * n)
    return Measurement(
        key=key,
        value=successes / n,
        unit=unit,
        better=Better.NEITHER,
        n=n,
        interval=wilson(successes, n),
        note="made up",
    )


def by_cosine(saturated=False):
    return {
        "center": "minimum_loss",
        "edges": np.linspace(0.1, 0.6, 6).tolist(),
        "count": [5, 20, 40, 30, 0],
        "success": [1.0, 0.5, 0.25, 0.1, None],
        "saturated": saturated,
        "n": 95,
    }


def attack_figures(key, norm, epsilon, rate):
    rng = np.random.default_rng(7)
    rms = rng.uniform(1, 2, 40)
    means = {"mean": np.linspace(5, 1, QUERIES).tolist()}
    figures = {
        "verdicts": {"norm": norm, "epsilon": epsilon, "n": 100},
        "by_cosine": by_cosine(saturated=rate < 0.05),
        "perturbation": {
            "rms": rms.tolist(),
            "perturbation_rms": (epsilon * rms).tolist(),
            "broken": (np.arange(40) < 40 * rate).tolist(),
            "n": 40,
        },
        "trajectory": {
            "query": list(range(QUERIES)),
            "count": [40] * QUERIES,
            "n": 40,
            "rms": means,
            "cosine": {"mean": [None] * QUERIES},
            "margin": means,
        },
    }
    if rate < 0.05:
        figures["telling"] = {"norm": norm, "epsilon": 20 * epsilon, "asr": 0.4, "by_cosine": by_cosine()}
    return {f"robustness.{key}.{name}": data for name, data in figures.items()}


def band(values):
    return {"mean": values, "low": [value - 0.1 for value in values], "high": [value + 0.1 for value in values]}


def curve(ece):
    return {"value": [0.5, 1.0, 2.0], "accuracy": [0.8, 0.9, 0.85], "ece": ece}


def plane_figures():
    """Three classes around a fourth, whose loss alone has a minimum: at the origin, by symmetry."""
    rng = np.random.default_rng(5)
    star = [[1.0, 0.0], [-0.5, 0.75], [-0.5, -0.75], [0.0, 0.0]]
    labels = np.arange(80) % 4
    features = 6 * np.array(star)[labels] + 0.6 * rng.standard_normal((80, 2))
    return {
        "plane.classes": {
            "name": ["cat", "dog", "emu", "fox"],
            "weight": star,
            "bias": [0.0, 0.0, 0.0, 0.5],
            "mean": [[6.1, 0.1], [-2.9, 4.4], [-3.0, -4.6], [0.1, 0.1]],
            "minimum": [[5.0, 0.0], [-2.5, 4.3], [-2.5, -4.3], [0.0, 0.0]],
            "finite": [False, False, False, True],
            "radius": 5.0,
        },
        "plane.training": {
            "label": [0, 1, 2, 3],
            "taken": 9,
            "snapshots": [
                {
                    "epoch": epoch,
                    "weight": (np.array(star) * (epoch + 1)).tolist(),
                    "bias": [0.0, 0.0, 0.0, 0.5],
                    "feature": (np.array([*star[:3], star[3 * (epoch == 1)]]) * (epoch + 1)).tolist(),
                }
                for epoch in (0, 1, 8)
            ],
        },
        "plane.features": {
            "images": 100,
            "feature": features.round(3).tolist(),
            "label": labels.tolist(),
            "correct": (np.arange(80) >= 9).tolist(),
        },
    }


def every_figure():
    rng = np.random.default_rng(3)
    steps = [0] * 100
    steps[89], steps[94], steps[99] = 10, 40, 30
    cosines = rng.uniform(-0.2, 0.8, 60).tolist()
    histogram = [0] * 40
    histogram[25], histogram[26], histogram[27] = 20, 50, 20
    found = {
        "accuracy.per_class": {
            "class": [0, 1, 2],
            "name": ["cat", "dog", "emu"],
            "images": [40, 40, 20],
            "accuracy": [0.95, 0.75, 1.0],
            "n": 100,
        },
        "calibration.reliability": {
            "edge": [0.0, 0.25, 0.5, 0.75, 1.0],
            "count": [0, 10, 30, 60],
            "confidence": [None, 0.4, 0.6, 0.9],
            "accuracy": [None, 0.5, 0.5, 0.8],
        },
        "calibration.null_band": {
            "level": [0.025, 0.25, 0.5, 0.75, 0.95, 0.975],
            "quantile": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06],
            "observed": 0.08,
            "p_value": 0.001,
            "images": 100,
        },
        "calibration.feature_scaling": {
            "feature_scale": curve([0.2, 0.1, 0.15]),
            "temperature": curve([0.12, 0.1, 0.3]),
            "images": 50,
        },
        "calibration.fit": {"temperature": 1.6, "feature_scale": 0.7},
        "cones.steps": {
            "images": 90,
            "step": list(range(1, 101)),
            "first_misclassified": steps,
            "never": 10,
        },
        "geometry.scatter": {
            "images": 100,
            "rms": rng.uniform(1, 2, 60).tolist(),
            "confidence": rng.uniform(0.1, 1, 60).tolist(),
            "correct": (np.arange(60) >= 12).tolist(),
            "cosine_minimum_loss": [None, *cosines[1:]],
            "cosine_class_mean": cosines,
        },
        "geometry.cosine_histogram": {
            "edges": np.linspace(-1, 1, 41).tolist(),
            "minimum_loss": histogram,
            "class_mean": histogram,
        },
        "geometry.centers": {"headline_correlation": "pearson"},
        "selective.risk_coverage": {
            "coverage": [0.25, 0.5, 0.75, 1.0],
            "risk": [0.0, 0.02, 0.05, 0.1],
            "threshold": [0.99, 0.9, 0.7, 0.2],
            "images": 100,
        },
        "robustness.mechanism": {
            "isotropic_share": 0.1,
            "edges": [0.1, 0.2, 0.3],
            "large": {"epsilon": 8 / 255, "n": 40, "shrink_cosine": band([0.3, 0.5])},
            "small": {"epsilon": 0.4 / 255, "n": 40, "shrink_cosine": band([0.2, 0.6])},
        },
    }
    found |= plane_figures()
    found["templates.projection"] = {
        "images": 90,
        "class": [3, 5, 8],
        "name": ["cat", "dog", "car"],
        "template": [[0.0, 0.0], [2.0, 0.0], [1.0, 1.5]],
        "mean": [[-0.5, -0.2], [2.5, -0.1], [1.0, 2.0]],
        "place": rng.normal(size=(60, 2)).round(3).tolist(),
        "of": [place % 3 for place in range(60)],
        "correct": [place >= 7 for place in range(60)],
    }
    for key, setting in ATTACKS.items():
        found |= attack_figures(key, *setting)
    return found


@pytest.fixture
def data():
    """The data of all figures by key, to be changed at will."""
    return every_figure()


@pytest.fixture
def report_of(make_report):
    """A report with these figures, which may be any JSON, and with rates of the attacks."""
    rates = [measurement(f"robustness.{key}.asr", rate) for key, (_, _, rate) in ATTACKS.items()]
    shares = {"ece": 0.12, "ece_heldout": 0.11, "ece_after_temperature": 0.05, "ece_after_feature_scale": 0.06}
    rest = [measurement(f"calibration.{name}", value) for name, value in shares.items()]
    sound = json.loads(make_report(*rates, *rest).to_json())

    def make(figures):
        return parse(json.dumps({**sound, "figures": figures}), "test")

    return make


@pytest.fixture
def attack_report(make_report):
    """A report with figures of attacks: linf radius by key."""

    def make(radii):
        found = []
        for key, epsilon in radii.items():
            found.append(measurement(f"robustness.{key}.asr", 0.3))
            found += [
                Figure(key=name, data=values) for name, values in attack_figures(key, "linf", epsilon, 0.3).items()
            ]
        return make_report(*found)

    return make


@pytest.fixture
def drawn(report_of, data):
    """Drawings by name: of all figures, or of those given."""

    def draw(figures=None):
        return {drawing.name: drawing for drawing in drawings(report_of(data if figures is None else figures))}

    return draw


_WHOLE = {}


@pytest.fixture
def whole(drawn):
    """Drawings of the unchanged data, made once."""
    if not _WHOLE:
        _WHOLE.update(drawn())
    return _WHOLE


@pytest.fixture
def painted():
    """The figure as matplotlib has it, in the colours of the light theme."""

    def paint(drawing):
        with house_style():
            return drawing.paint(Inks.of(LIGHT))

    return paint


@pytest.fixture
def boxes_of(painted):
    """What each text of a drawing says and where it stands, and the size of the paper."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def measure(drawing):
        figure = painted(drawing)
        with house_style():
            FigureCanvasAgg(figure).draw()
            texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
            return [(text.get_text(), text.get_window_extent()) for text in texts], figure.bbox

    return measure
