"""Transfer between linear networks is arithmetic; a surrogate that cannot serve is refused in time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from repaudit.audits import bind, load
from repaudit.audits.transfer import TransferParameters, audit
from repaudit.case import Case, EvaluationShape, Permissions
from repaudit.classifier import Capability
from repaudit.compare import Side, compare
from repaudit.errors import InvalidProfile
from repaudit.evidence import collect
from repaudit.finding import Better, Column, Figure, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import wilson
from repaudit.progress import SilentProgress
from repaudit.report.attack_codes import CODES, AttackOutcome
from repaudit.sources import load_model

EPSILON = 8 / 255
SLOPE = np.array([1.0, -2.0, 0.5, 1.5, -1.0, 0.7, -0.3, 2.0, 0.0])
"""Of the difference of two logits; the last pixel plays no part."""
TIMES = (0.2, 0.5, 0.8, 1.2, 1.5, 3.0)
"""Margins of the images, in units of what the radius can take away: three break, three hold."""
HARD = {"linf": EPSILON * abs(SLOPE).sum(), "l2": EPSILON * np.sqrt((SLOPE**2).sum())}

NETWORK = """
import torch
from torch import nn

preprocess = {{"mean": [0.0], "std": [1.0], "size": [{side}, {side}]}}


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor({weight}))
        self.bias = nn.Parameter(torch.tensor({bias}))

    def forward(self, x):
        {lines}
        return torch.stack([torch.zeros_like(z), z], dim=1)


def make():
    return Two()
"""
LINEAR = "z = x.flatten(1) @ self.weight + self.bias"
DETACHED = "z = (x.flatten(1) @ self.weight + self.bias).detach()"
GIVES_NAN = f"{LINEAR}; z = torch.where((x.flatten(1)[:, -1] < 0.5) & (z > 0), torch.nan, z)"


@pytest.fixture
def network(tmp_path):
    """The reference of a network whose second logit is slope · x + offset, and whose first is 0."""

    def write(slope, offset, lines=LINEAR, name="other", side=3):
        path = tmp_path / f"{name}.py"
        path.write_text(NETWORK.format(side=side, weight=list(map(float, slope)), bias=float(offset), lines=lines))
        return f"py:{path}:make"

    return write


@pytest.fixture
def model(network):
    """The audited network, without gradients: its second logit leads where SLOPE · (x − ½) > 0."""

    def load_it(lines=LINEAR):
        own = load_model(network(SLOPE, -SLOPE.sum() / 2, lines, name="audited"))
        return replace(own, capabilities=own.capabilities - {Capability.GRADIENTS})

    return load_it


@pytest.fixture
def transfer(make_images):
    """What the audit says of images at known margins, six of each label, and of one that the model gets wrong."""

    def run(model, norm="linf", *, wrong=True, **parameters):
        signs = np.repeat([-1, 1], len(TIMES))
        margins = HARD[norm] * np.tile(TIMES, 2)
        pixels = 0.5 + (signs * margins)[:, None] * SLOPE / (SLOPE**2).sum()
        pixels[:, -1] = np.where(signs > 0, 0.8, 0.2)
        labels = (signs > 0).astype(int)
        if wrong:
            pixels, labels = np.vstack([pixels, pixels[-1:]]), np.append(labels, 0)
        images = make_images(torch.from_numpy(pixels.astype(np.float32)).reshape(-1, 1, 3, 3), labels)
        case = Case(
            classifier=model,
            images=images,
            evidence=collect(model, images, rows=8, progress=SilentProgress()).evidence,
            parameters=TransferParameters(norm=norm, epsilon=EPSILON, **parameters),
            seed=0,
            shape=EvaluationShape(rows=8, calls=2),
            progress=SilentProgress(),
        )
        return list(audit.run(case))

    return run


def of(kind, found):
    return {getattr(each, "key", getattr(each, "name", None)): each for each in found if isinstance(each, kind)}


def codes(found):
    return {finding.code: finding.message for finding in found if isinstance(finding, Notice)}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_parallel_surrogate_breaks_exactly_what_lies_within_the_dual_norm_of_the_slope(
    network, model, transfer, norm
):
    found = transfer(model(), norm, surrogate=network(2 * SLOPE, -SLOPE.sum()))

    measured = of(Measurement, found)
    assert {key: (each.value, each.n) for key, each in measured.items()} == {
        "transfer.asr": (6 / 12, 12),
        "transfer.robust_accuracy": (6 / 13, 13),
        "transfer.error_share": (0.0, 13),
        "transfer.surrogate_top1": (12 / 13, 13),
    }
    assert measured["transfer.asr"].interval == wilson(6, 12)
    outcome = of(Column, found)["attack_transfer_outcome"].values
    breaks = [CODES[AttackOutcome.BROKEN if times < 1 else AttackOutcome.ROBUST] for times in TIMES]
    assert outcome.tolist() == [*breaks, *breaks, CODES[AttackOutcome.INITIALLY_WRONG]]
    assert set(codes(found)) <= {"epsilon-rounded"}


def test_success_counts_only_images_that_both_get_right_and_robust_accuracy_all(network, model, transfer):
    """The surrogate takes the three images of label 0 with the smallest margins for label 1."""
    found = transfer(model(), surrogate=network(SLOPE, -SLOPE.sum() / 2 + HARD["linf"]))

    measured = of(Measurement, found)
    assert (measured["transfer.asr"].value, measured["transfer.asr"].n) == (3 / 9, 9)
    assert (measured["transfer.robust_accuracy"].value, measured["transfer.robust_accuracy"].n) == (6 / 13, 13)
    assert measured["transfer.surrogate_top1"].value == 9 / 13
    assert of(Column, found)["transfer_surrogate_right"].values.tolist() == [0] * 3 + [1] * 9 + [0]
    assert of(Figure, found)["transfer.verdicts"].data["both_right"] == 9


def test_a_surrogate_that_knows_none_of_the_images_is_warned_of_and_has_no_success(network, model, transfer):
    found = transfer(model(), wrong=False, surrogate=network(-SLOPE, SLOPE.sum() / 2))

    assert of(Skipped, found)["transfer.asr"].reason == "no image is right by both"
    assert of(Measurement, found)["transfer.surrogate_top1"].value == 0
    assert "right on 0 of the 12 images" in codes(found)["weak-surrogate"]


def test_an_image_answered_with_nan_is_neither_broken_nor_robust(network, model, transfer):
    found = transfer(model(GIVES_NAN), wrong=False, surrogate=network(SLOPE, -SLOPE.sum() / 2))

    measured = of(Measurement, found)
    assert (measured["transfer.asr"].value, measured["transfer.asr"].n) == (3 / 9, 9)
    assert measured["transfer.error_share"].value == 3 / 12
    assert measured["transfer.robust_accuracy"].value == 6 / 12
    assert "3 images drove the network to NaN" in codes(found)["attack-errors"]


def test_without_a_surrogate_every_key_is_skipped_with_the_setting_that_mends_it(model, transfer):
    found = transfer(model())

    assert set(of(Skipped, found)) == set(load("transfer").keys)
    assert len(found) == len(load("transfer").keys)
    assert all("--set transfer.surrogate=MODEL" in each.reason for each in found)


@pytest.mark.parametrize(
    ("surrogate", "told"),
    [
        ({"lines": DETACHED}, "gives no gradients"),
        ({"slope": np.ones(16), "side": 4}, "does not take the model's images of 3×3"),
        (
            {"lines": f"{LINEAR}; return torch.stack([z, z, z], dim=1)"},
            "has 3 classes of 1-channel images, the model 2",
        ),
    ],
)
def test_a_surrogate_that_cannot_serve_is_refused_before_anything_is_measured(network, model, surrogate, told):
    asked = {"slope": SLOPE, "offset": 0, **surrogate}

    with pytest.raises(InvalidProfile, match=told) as refused:
        bind("transfer", {"surrogate": network(**asked)}).check(model(), Permissions())
    assert refused.value.problem.startswith("transfer.surrogate: ")
    assert "--set transfer.surrogate=" in refused.value.remedy


@pytest.mark.parametrize(
    "raw", [{"limit": 0}, {"epsilon": "0"}, {"epsilon": 2}, {"norm": "l7"}, {"steps": 0}, {"step_size": -1}]
)
def test_impossible_parameters_are_refused(raw):
    with pytest.raises(InvalidProfile):
        bind("transfer", raw)


def test_a_radius_above_one_is_possible_in_euclidean_length():
    assert bind("transfer", {"norm": "l2", "epsilon": 2}).parameters.epsilon == 2


def test_an_attack_of_the_robustness_audit_cannot_take_its_name():
    with pytest.raises(InvalidProfile, match="`transfer` cannot be the key of an attack"):
        bind("robustness", {"attacks": [{"name": "pgd_w", "key": "transfer"}]})


@pytest.fixture
def side(make_report):
    def make(outcome, right, name):
        findings = [
            Measurement(key=f"transfer.{key}", value=0.5, unit=Unit.FRACTION, better=better, n=8, interval_reason="x")
            for key, better in (("asr", Better.LOWER), ("robust_accuracy", Better.HIGHER))
        ]
        columns = {
            "id": np.array([f"image-{row}" for row in range(len(outcome))]),
            "attack_transfer_outcome": np.array(outcome, dtype=np.int8),
            "transfer_surrogate_right": np.array(right, dtype=np.int8),
        }
        return Side(make_report(*findings), columns, name)

    return make


def test_two_reports_are_compared_on_images_that_model_and_surrogate_get_right_in_both(side):
    now = side([1, 1, 1, 0, 3, 0, 2, -1], [1, 1, 0, 1, 1, 1, 1, -1], "now")
    before = side([0, 1, 0, 0, 1, 1, 1, -1], [1, 1, 0, 1, 1, 0, 1, -1], "before")

    success, accuracy = (compare(f"transfer.{key}", now, before) for key in ("asr", "robust_accuracy"))

    assert (success.worse, success.n) == (1 / 3, 3)  # the first, second and fourth image
    assert (accuracy.worse, accuracy.n) == (pytest.approx((3 - 2) / 7), 7)
