"""Gradients are compared with finite differences where both can be known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.audits._masking_gradient import gradient_agreement
from repaudit.audits._masking_parameters import MaskingParameters
from repaudit.audits._subjects import subjects_of
from repaudit.evidence import collect
from repaudit.progress import SilentProgress


class Turned(torch.autograd.Function):
    """What goes in comes out, and the gradient comes back times a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return slope * ctx.factor, None


class Turn(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return Turned.apply(x, self.factor)


class Layer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.fixture
def agreement(make_classifier, predicted_images, make_case):
    """Cosines on random images of a linear network behind some layers."""

    def measure(*layers, scale=0.1, classes=2, seed=0, epsilon=8 / 255):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            linear = nn.Linear(300, classes)
            linear.weight.data = torch.randn(classes, 300) * scale
        classifier = make_classifier(nn.Sequential(*layers, nn.Flatten(), linear))
        images = predicted_images(classifier, 30, size=10)
        evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
        case = make_case(evidence, MaskingParameters(epsilon=epsilon), classifier, images, seed=seed)
        return gradient_agreement(case, subjects_of(case, np.arange(30)))

    return measure


def test_two_linear_classes_have_exactly_the_slope_that_autograd_says(agreement):
    np.testing.assert_allclose(agreement(), 1, atol=1e-6)


def test_a_gradient_of_the_wrong_sign_disagrees_completely(agreement):
    np.testing.assert_allclose(agreement(Turn(-1.0)), -1, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_length_of_a_gradient_does_not_matter(agreement, factor):
    np.testing.assert_allclose(agreement(Turn(factor)), 1, atol=1e-6)


def test_no_gradient_where_the_network_has_a_slope_counts_as_no_agreement(agreement):
    np.testing.assert_array_equal(agreement(Turn(0.0)), 0)


def test_a_gradient_turned_pixel_by_pixel_at_random_agrees_with_nothing(agreement):
    sign = torch.where(torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)

    assert abs(np.median(agreement(Turn(sign)))) < 0.3


def test_where_neither_has_a_slope_there_is_nothing_to_compare(agreement):
    assert np.isnan(agreement(Layer(lambda x: x * 0))).all()


def test_logits_that_are_not_finite_give_no_figure(agreement):
    off_grid = Layer(lambda x: torch.where(((x * 255).round() / 255 - x).abs() > 1e-5, torch.nan, x))

    assert np.isnan(agreement(off_grid)).all()


def test_the_surer_the_network_the_less_is_left_of_the_cross_entropy_s_gradient_in_float32(agreement):
    sure, half_lost, lost = (np.median(agreement(scale=scale)) for scale in (0.2, 1.0, 1e4))

    assert sure > 0.999
    assert 0.1 < half_lost < sure  # the label's own part of the gradient is 1 - 1 from a margin of 17 on
    assert lost == 0


def test_another_seed_looks_along_other_directions(agreement):
    smooth = Layer(lambda x: torch.sin(3 * x))

    assert (agreement(smooth) != agreement(smooth, seed=1)).all()
    np.testing.assert_array_equal(agreement(smooth), agreement(smooth))
