"""On linear models the exact distance to the boundary is known, and attacks must reach it and not go beyond."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks.verdict import CODES, Outcome

BROKEN = CODES[Outcome.BROKEN]
SIDE = 6
NEAR = 0.01
"""Relative distance from the boundary within which float32 may decide either way."""


@pytest.fixture
def linear(make_classifier):
    """Two classes, a linear score of every pixel, and no image close enough to 0 or 1 for clipping to matter."""
    generator = torch.Generator().manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2))
    network[1].weight.data = torch.randn(2, 3 * SIDE * SIDE, generator=generator) / 10
    network[1].bias.data.zero_()
    return make_classifier(network, mean=0.5, std=0.5)


@pytest.fixture
def images(linear, make_images):
    generator = torch.Generator().manual_seed(3)
    stored = torch.randint(100, 156, (120, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        labels = linear.logits(stored.float() / 255).argmax(1)
    return make_images(stored, labels.numpy())


@pytest.fixture
def distances(linear, images):
    """Exact distance of each image to the boundary, by norm: margin / dual norm of the margin's gradient."""
    slope = (linear.network[-1].weight[0] - linear.network[-1].weight[1]).double() / 0.5
    margin = (images.stored.flatten(1).double() / 255 - 0.5) @ slope
    return {"linf": (margin.abs() / slope.abs().sum()).numpy(), "l2": (margin.abs() / slope.norm()).numpy()}


def settings(norm, epsilon):
    common = {"norm": norm, "epsilon": epsilon}
    return [
        {"name": "fgsm", **common},
        {"name": "pgd", **common, "steps": 5, "step_size": epsilon / 4, "start": "clean"},
        {"name": "pgd", **common, "steps": 20, "step_size": epsilon / 4, "start": "uniform"},
    ]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_exactly_the_images_nearer_to_the_boundary_than_the_radius_are_broken(
    linear, images, distances, run, norm, quantile, number
):
    exact = distances[norm]
    epsilon = float(np.quantile(exact, quantile))
    outcome = run(linear, images, settings(norm, epsilon)[number]).outcome

    sure = np.abs(exact / epsilon - 1) > NEAR
    np.testing.assert_array_equal((outcome == BROKEN)[sure], (exact < epsilon)[sure])
    assert sure.sum() > 100


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_radius_never_breaks_fewer_images_of_a_linear_model(linear, images, distances, run, norm):
    radii = [float(np.quantile(distances[norm], quantile)) for quantile in (0.1, 0.3, 0.5, 0.7)]
    broken = [run(linear, images, settings(norm, radius)[1]).outcome == BROKEN for radius in radii]

    for smaller, larger in pairwise(broken):
        assert not (smaller & ~larger).any()
    assert broken[0].sum() < broken[-1].sum()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_vanishing_radius_breaks_nothing(linear, images, run, norm, number):
    assert not (run(linear, images, settings(norm, 1e-9)[number]).outcome == BROKEN).any()


def test_one_step_of_fgsm_takes_the_margin_down_by_radius_times_the_dual_norm(linear, images, distances, run):
    slope = (linear.network[-1].weight[0] - linear.network[-1].weight[1]).double() / 0.5
    evaluation = run(linear, images, {"name": "fgsm", "epsilon": 0.02})
    expected = (distances["linf"] - 0.02) * float(slope.abs().sum())

    np.testing.assert_allclose(evaluation.margin, expected, atol=2e-5)
    np.testing.assert_allclose(evaluation.perturbation, 0.02, atol=1e-6)
    assert (evaluation.iteration == 1).all()


def test_a_restart_may_break_what_the_first_start_could_not(make_classifier, make_images, run):
    """A network with a needle: only starts in one half of the ball are misclassified, and there is no slope."""

    class Needle(nn.Module):
        def forward(self, x):
            pixel = x.flatten(1)[:, :1]
            return (pixel > 0.55).float() + 0 * pixel

    network = nn.Sequential(Needle(), nn.Linear(1, 2))
    network[1].weight.data = torch.tensor([[0.0], [2.0]])
    network[1].bias.data = torch.tensor([1.0, 0.0])
    classifier = make_classifier(network, channels=1)
    images = make_images(torch.full((64, 1, 1, 1), 0.5), np.zeros(64))
    one = {"name": "pgd", "epsilon": 0.1, "steps": 1, "step_size": 0.1}

    first = run(classifier, images, one)
    six = run(classifier, images, {**one, "restarts": 6})

    assert 8 < first.count(Outcome.BROKEN) < 24  # a quarter of the ball
    assert six.count(Outcome.BROKEN) > 44  # 1 − (3/4)⁶ = .82
    np.testing.assert_array_equal(six.restart[first.outcome == BROKEN], 0)
    assert (six.restart[(six.outcome == BROKEN) & (first.outcome != BROKEN)] > 0).all()
