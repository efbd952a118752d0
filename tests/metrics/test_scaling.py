"""Temperature and feature scale: closed forms, invariances and a general-purpose minimiser."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from repaudit.metrics.scaling import NoOptimum, fit_scale, rescale


def noisy(rng, n=400, c=6, spread=3.0):
    """Logits that say something about the labels, and a bias that takes part in them."""
    labels = rng.integers(0, c, n)
    logits = rng.normal(0, spread, (n, c))
    logits[np.arange(n), labels] += spread
    return logits, labels, rng.normal(0, 1, c)


def nll(logits, labels):
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("gap", [1e-9, 0.1, 1.0, 25.0, 1e6])
@pytest.mark.parametrize("hits", [51, 80, 99])
def test_two_classes_with_one_gap_are_as_sure_as_they_are_right(gap, hits):
    logits = np.tile([gap, 0.0], (100, 1))
    labels = (np.arange(100) >= hits).astype(int)

    expected = math.log(hits / (100 - hits)) / gap

    assert fit_scale(logits, labels).scale == pytest.approx(expected, rel=1e-7)


def test_the_bias_is_left_alone_by_the_feature_scale():
    bias, gap, hits = np.array([0.7, 0.0]), 2.0, 90
    logits = np.tile([gap, 0.0], (100, 1)) + bias
    labels = (np.arange(100) >= hits).astype(int)

    expected = (math.log(hits / (100 - hits)) - 0.7) / gap

    assert fit_scale(logits, labels, bias=bias).scale == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("spread", [0.2, 3.0, 40.0])
def test_the_scale_is_where_a_general_minimiser_finds_it(rng, with_bias, spread):
    logits, labels, bias = noisy(rng, spread=spread)
    offset = bias if with_bias else np.zeros_like(bias)

    found = minimize_scalar(
        lambda log_s: nll(np.exp(log_s) * (logits - offset) + offset, labels),
        bounds=(-8, 8),
        method="bounded",
        options={"xatol": 1e-10},
    )

    scale = fit_scale(logits, labels, bias=bias if with_bias else None).scale
    assert scale == pytest.approx(math.exp(found.x), rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.02, 50), st.integers(0, 1000))
def test_logits_times_a_factor_have_that_factor_times_the_temperature(factor, seed):
    logits, labels, _ = noisy(np.random.default_rng(seed), n=100)

    assert fit_scale(factor * logits, labels).scale == pytest.approx(fit_scale(logits, labels).scale / factor, rel=1e-5)


def test_scaled_logits_need_no_second_temperature(rng):
    logits, labels, _ = noisy(rng)
    scale = fit_scale(logits, labels).scale

    assert fit_scale(scale * logits, labels).scale == pytest.approx(1, rel=1e-6)


def test_without_a_bias_feature_scale_and_temperature_are_one_thing(rng):
    logits, labels, bias = noisy(rng)

    assert fit_scale(logits, labels, bias=0 * bias).scale == fit_scale(logits, labels).scale


def test_a_constant_added_to_an_images_logits_changes_nothing(rng):
    logits, labels, _ = noisy(rng)
    moved = logits + rng.normal(0, 100, (len(logits), 1))

    assert fit_scale(moved, labels).scale == pytest.approx(fit_scale(logits, labels).scale, rel=1e-7)


def test_only_the_chosen_rows_are_fitted(rng):
    logits, labels, bias = noisy(rng)
    rows = rng.permutation(len(labels))[:150]

    chosen = fit_scale(logits, labels, rows=rows, bias=bias)
    alone = fit_scale(logits[rows], labels[rows], bias=bias)

    assert chosen.scale == alone.scale


def test_no_scale_on_either_side_is_likelier(rng):
    logits, labels, bias = noisy(rng)
    scale = fit_scale(logits, labels, bias=bias).scale
    around = rescale(logits, labels, scale * np.array([0.99, 1, 1.01]), bias=bias).log_p_label.mean(axis=1)

    assert around[1] > max(around[0], around[2])


@pytest.mark.parametrize("coarse", [7, 50])
def test_the_coarse_start_does_not_move_the_optimum(rng, monkeypatch, coarse):
    logits, labels, bias = noisy(rng)
    expected = fit_scale(logits, labels, bias=bias).scale
    monkeypatch.setattr("repaudit.metrics.scaling.COARSE", coarse)

    assert fit_scale(logits, labels, bias=bias).scale == pytest.approx(expected, rel=1e-10)


def test_a_coarse_sample_that_is_all_right_spoils_nothing(monkeypatch):
    logits, labels = np.tile([1.0, 0.0], (100, 1)), np.arange(100) % 10
    labels = (labels == 5).astype(int)
    monkeypatch.setattr("repaudit.metrics.scaling.COARSE", 10)

    assert fit_scale(logits, labels).scale == pytest.approx(math.log(9), rel=1e-9)


def test_all_right_has_no_temperature(rng):
    labels = rng.integers(0, 3, 20)

    with pytest.raises(NoOptimum, match="classified right"):
        fit_scale(np.eye(3)[labels], labels)


@pytest.mark.parametrize("bias", [None, np.array([1.0, 0.0, 0.0])])
def test_logits_that_say_nothing_have_no_temperature_even_where_ties_count_as_right(bias):
    logits = np.zeros((20, 3)) + (0 if bias is None else bias)

    with pytest.raises(NoOptimum, match="chance"):
        fit_scale(logits, np.zeros(20, dtype=int), bias=bias)


def test_worse_than_chance_has_no_temperature(rng):
    labels = rng.integers(0, 3, 20)

    with pytest.raises(NoOptimum, match="chance"):
        fit_scale(-np.eye(3)[labels], labels)


def test_no_image_has_no_temperature():
    with pytest.raises(NoOptimum, match="no image"):
        fit_scale(np.zeros((5, 2)), np.zeros(5, dtype=int), rows=np.array([], dtype=int))


def test_rescaled_figures_are_those_of_the_scaled_logits(rng):
    logits, labels, bias = noisy(rng)
    rows = rng.permutation(len(labels))[:77]
    scales = np.array([0.2, 1.0, 7.0])

    result = rescale(logits, labels, scales, rows=rows, bias=bias)

    for which, scale in enumerate(scales):
        log_p = log_softmax(scale * (logits - bias) + bias, axis=1)[rows]
        assert result.confidence[which] == pytest.approx(np.exp(log_p.max(axis=1)), rel=1e-12)
        assert result.log_p_label[which] == pytest.approx(log_p[np.arange(77), labels[rows]], rel=1e-9)
        assert (result.correct[which] == (log_p.argmax(axis=1) == labels[rows])).all()


def test_a_temperature_changes_no_prediction(rng):
    logits, labels, _ = noisy(rng)
    logits = logits.astype(np.float32)

    correct = rescale(logits, labels, np.geomspace(1e-3, 1e3, 13)).correct

    assert (correct == (logits.argmax(axis=1) == labels)).all()


def test_a_feature_scale_can_change_predictions():
    bias = np.array([3.0, 0.0])
    logits = np.array([[0.0, 1.0]]) + bias

    correct = rescale(logits, np.array([1]), np.array([1.0, 5.0]), bias=bias).correct

    assert correct[:, 0].tolist() == [False, True]


def test_enormous_logits_do_not_overflow():
    logits = np.array([[1e5, 0.0]] * 3 + [[0.0, 1e5]])
    labels = np.zeros(4, dtype=int)

    scale = fit_scale(logits, labels).scale
    result = rescale(logits, labels, np.array([scale, 1.0]))

    assert scale == pytest.approx(math.log(3) / 1e5, rel=1e-7)
    assert np.isfinite(result.log_p_label).all()
