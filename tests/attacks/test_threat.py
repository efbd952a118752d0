"""Balls of perturbations: sizes, projections, steepest directions, and what a profile may write."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repaudit.attacks.threat import Norm, Threat, parse_length, parse_threat, rounded_fraction
from repaudit.errors import InvalidProfile


@pytest.fixture
def perturbation():
    return torch.randn(6, 3, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("raw", "length"),
    [("8/255", 8 / 255), (" 0.4 / 255 ", 0.4 / 255), (0.03, 0.03), ("0.03", 0.03), (1, 1.0), ("1e-3", 0.001)],
)
def test_a_length_is_a_fraction_or_a_number(raw, length):
    assert parse_length(raw) == pytest.approx(length, rel=1e-15)


def test_eight_of_255_is_the_float_nearest_to_it():
    assert parse_length("8/255") == 8 / 255


@pytest.mark.parametrize(
    "raw", [0, -1, "0", "-8/255", "8/0", "eight", "8/", "", "nan", "inf", math.nan, math.inf, None, True, [8]]
)
def test_what_is_no_length_above_zero_is_refused(raw):
    with pytest.raises(ValueError, match=r"length"):
        parse_length(raw)


@pytest.mark.parametrize("epsilon", ["0", 0, -0.1, "-1/255", 1.01, 8, 255, "nan", None])
def test_a_radius_not_above_zero_or_beyond_the_range_of_pixels_is_refused_with_a_remedy(epsilon):
    with pytest.raises(InvalidProfile) as refused:
        parse_threat("linf", epsilon)

    assert str(epsilon) in refused.value.problem
    assert "epsilon" in refused.value.remedy


def test_eight_levels_written_without_255_are_suggested_as_such():
    with pytest.raises(InvalidProfile) as refused:
        parse_threat("linf", 8)

    assert refused.value.remedy == "epsilon: 8/255"


def test_a_euclidean_radius_may_exceed_one():
    assert parse_threat("l2", 3).epsilon == 3


def test_an_unknown_norm_is_refused():
    with pytest.raises(InvalidProfile, match="l7"):
        parse_threat("l7", "8/255")


@pytest.mark.parametrize(
    ("epsilon", "fraction"),
    [(0.031, "8/255"), (0.0157, "4/255"), (0.008, "2/255"), (8 / 255, None), (0.4 / 255, None), (0.5, None)],
)
def test_a_decimal_close_to_a_whole_number_of_levels_is_told_from_it(epsilon, fraction):
    assert rounded_fraction(epsilon) == fraction


def test_sizes_are_the_norms_of_numpy(perturbation):
    flat = perturbation.flatten(1).double().numpy()

    np.testing.assert_allclose(Threat(Norm.LINF, 1).size(perturbation), np.abs(flat).max(axis=1), rtol=1e-15)
    np.testing.assert_allclose(Threat(Norm.L2, 1).size(perturbation), np.linalg.norm(flat, axis=1), rtol=1e-12)


def test_projection_onto_the_maximum_ball_clips_each_value(perturbation):
    projected = Threat(Norm.LINF, 0.3).project(perturbation)

    np.testing.assert_array_equal(projected.numpy(), np.clip(perturbation.numpy(), np.float32(-0.3), np.float32(0.3)))


def test_projection_onto_the_euclidean_ball_shortens_the_vector_and_keeps_its_direction(perturbation):
    projected = Threat(Norm.L2, 2.0).project(perturbation)
    lengths = perturbation.flatten(1).double().norm(dim=1)
    expected = perturbation.double() * (2.0 / lengths).clamp(max=1).reshape(-1, 1, 1, 1)

    torch.testing.assert_close(projected.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", list(Norm))
def test_projection_leaves_alone_what_lies_inside_even_zero(norm, perturbation):
    small = torch.cat([perturbation * 1e-4, torch.zeros_like(perturbation[:1])])

    assert torch.equal(Threat(norm, 0.5).project(small), small)


@given(st.floats(1e-4, 1.0), st.floats(1e-6, 1e3), st.sampled_from(list(Norm)))
def test_what_was_projected_lies_inside(epsilon, scale, norm):
    threat = Threat(norm, epsilon)
    wild = scale * torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))

    assert threat.contains(threat.size(threat.project(wild))).all()


@pytest.mark.parametrize("norm", list(Norm))
def test_the_steepest_direction_has_norm_one_and_reaches_the_dual_norm(norm, perturbation):
    direction = Threat(norm, 1).steepest(perturbation)
    reached = (direction * perturbation).flatten(1).sum(1)
    flat = perturbation.flatten(1)
    dual = flat.abs().sum(1) if norm is Norm.LINF else flat.norm(dim=1)

    torch.testing.assert_close(Threat(norm, 1).size(direction), torch.ones(6, dtype=torch.float64), rtol=1e-6, atol=0)
    torch.testing.assert_close(reached, dual, rtol=1e-5, atol=0)


@pytest.mark.parametrize("norm", list(Norm))
def test_a_zero_gradient_has_no_direction_and_a_tiny_one_has(norm):
    gradient = torch.zeros(2, 1, 2, 2)
    gradient[1, 0, 0, 0] = 1e-38

    direction = Threat(norm, 1).steepest(gradient)

    assert torch.equal(direction[0], torch.zeros(1, 2, 2))
    assert float(direction[1, 0, 0, 0]) == pytest.approx(1)


def test_a_size_that_is_no_number_lies_nowhere():
    assert not Threat(Norm.LINF, 1).contains(torch.tensor([math.nan])).any()
