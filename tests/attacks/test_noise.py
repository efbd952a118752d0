"""Noise on the device: the same bits as numpy's, and distributed as promised."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from repaudit.attacks.noise import job_key, normals, step_keys, uniform_in_ball, uniforms
from repaudit.attacks.threat import Norm, Threat
from repaudit.randomness import stream_key, text_key
from repaudit.randomness import uniforms as numpy_uniforms

KEYS = np.array([stream_key(3, part) for part in range(40)] + [0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
UNLIKELY = 1e-3
"""A fixed stream either passes forever or never."""


def signed(keys):
    return torch.from_numpy(keys.view(np.int64).copy())


def test_uniforms_equal_those_of_numpy_bit_by_bit():
    ours = uniforms(signed(KEYS), 1000)

    assert ours.dtype == torch.float32
    np.testing.assert_array_equal(ours.numpy(), numpy_uniforms(KEYS, 1000))


@given(st.integers(0, 2**64 - 1), st.integers(1, 50))
def test_uniforms_of_any_key_equal_those_of_numpy(key, count):
    keys = np.array([key], dtype=np.uint64)

    np.testing.assert_array_equal(uniforms(signed(keys), count).numpy(), numpy_uniforms(keys, count))


@given(st.integers(0, 2**32), st.text(max_size=20), st.integers(-1, 1000), st.integers(0, 9), st.integers(0, 5000))
def test_the_stream_of_a_step_is_the_one_of_all_its_parts(seed, image, target, restart, step):
    job = job_key(seed, image, "pgd", target=target, restart=restart)
    expected = stream_key(seed, text_key(image), text_key("pgd"), target, restart, step)

    assert int(step_keys(torch.tensor([job]), step)) % 2**64 == expected


def test_streams_differ_in_every_part_that_names_them():
    base = {"seed": 0, "image": "a", "attack": "pgd", "target": 1, "restart": 0}
    variants = [{}, {"seed": 1}, {"image": "b"}, {"attack": "apgd"}, {"target": 2}, {"restart": 1}]
    keys = set()
    for variant in variants:
        parts = {**base, **variant}
        keys.add(
            job_key(parts["seed"], parts["image"], parts["attack"], target=parts["target"], restart=parts["restart"])
        )

    assert len(keys) == len(variants)


def test_normals_pass_a_test_for_normality_and_are_uncorrelated():
    drawn = normals(signed(KEYS), 2001).double().numpy()

    assert stats.kstest(drawn.ravel(), "norm").pvalue > UNLIKELY
    assert stats.pearsonr(drawn[:, :1000].ravel(), drawn[:, 1000:2000].ravel()).pvalue > UNLIKELY


def test_perturbations_fill_the_maximum_ball_uniformly():
    drawn = uniform_in_ball(Threat(Norm.LINF, 0.25), signed(KEYS), (3, 8, 8))

    assert drawn.shape == (len(KEYS), 3, 8, 8)
    assert stats.kstest(drawn.numpy().ravel(), "uniform", (-0.25, 0.5)).pvalue > UNLIKELY


def test_perturbations_fill_the_euclidean_ball_uniformly():
    keys = np.array([stream_key(9, part) for part in range(2000)], dtype=np.uint64)
    drawn = uniform_in_ball(Threat(Norm.L2, 2.0), signed(keys), (1, 2, 3)).flatten(1).double().numpy()
    lengths = np.linalg.norm(drawn, axis=1)

    # the share of a ball of dimension 6 within radius r is (r/2)⁶, and one coordinate of a direction is Beta
    assert stats.kstest((lengths / 2) ** 6, "uniform").pvalue > UNLIKELY
    for coordinate in range(6):
        square = (drawn[:, coordinate] / lengths) ** 2
        assert stats.kstest(square, stats.beta(0.5, 2.5).cdf).pvalue > UNLIKELY


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_an_accelerator_draws_the_same_uniforms_and_nearly_the_same_normals():
    keys = signed(KEYS)

    assert torch.equal(uniforms(keys.cuda(), 5000).cpu(), uniforms(keys, 5000))
    torch.testing.assert_close(normals(keys.cuda(), 5000).cpu(), normals(keys, 5000), rtol=0, atol=1e-6)
