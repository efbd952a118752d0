from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repaudit.metrics.cones import first_error_steps, ray_limits


def walk(features, weight, bias, labels):
    """The definition itself: scale the feature by 1 - i/100 and ask the head."""
    first = np.full(len(labels), 100)
    never = np.ones(len(labels), dtype=bool)
    for step in range(100, 0, -1):
        wrong = ((1 - step / 100) * features @ weight.T + bias).argmax(axis=1) != labels
        first[wrong] = step
        never &= ~wrong
    return first, never


def random_head(seed, images, width, classes, bias_scale):
    rng = np.random.Generator(np.random.PCG64(seed))
    weight = rng.standard_normal((classes, width))
    bias = bias_scale * rng.standard_normal(classes)
    features = rng.standard_normal((images, width))
    return features, weight, bias


def scaled_prediction(features, weight, bias, scale):
    return (scale[:, None] * features @ weight.T + bias).argmax(axis=1)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 12), st.sampled_from([0.01, 0.3, 3.0]))
def test_closed_form_equals_the_walk_of_100_steps_on_every_image(seed, classes, width, bias_scale):
    features, weight, bias = random_head(seed, 300, width, classes, bias_scale)
    logits = features @ weight.T + bias
    labels = logits.argmax(axis=1)

    found = first_error_steps(ray_limits(logits, bias, labels, np.ones(300, dtype=bool)).lower)

    first, never = walk(features, weight, bias, labels)
    assert (found.step == first).all()
    assert (found.never == never).all()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=2, max_size=5))
def test_steps_are_exact_where_crossings_fall_on_a_step(pairs):
    alone, bias = [a for a, _ in pairs], [b for _, b in pairs]
    logits = [a + b for a, b in pairs]
    label = logits.index(max(logits))

    def beaten(scale):
        return any(scale * a + b > scale * alone[label] + bias[label] for a, b in pairs)

    steps = [step for step in range(1, 101) if beaten(Fraction(100 - step, 100))]
    found = first_error_steps(
        ray_limits(np.array([logits], dtype=np.float32), np.array(bias), np.array([label]), np.array([True])).lower
    )

    assert found.step[0] == (steps[0] if steps else 100)
    assert found.never[0] == (not steps)


def test_a_crossing_at_nine_tenths_is_first_seen_at_step_eleven():
    # floor(100 (1 - 0.9)) + 1 is 10 in floating point: 1 - 0.9 rounds below 0.1
    limits = ray_limits(np.array([[10.0, 9.0]]), np.array([0.0, 9.0]), np.array([0]), np.array([True]))

    assert limits.lower[0] == 0.9
    assert first_error_steps(limits.lower).step[0] == 11


def test_predictions_change_just_outside_the_two_limits_and_not_just_inside(rng):
    features, weight, bias = random_head(7, 2000, 5, 8, 1.0)
    logits = features @ weight.T + bias
    labels = logits.argmax(axis=1)

    limits = ray_limits(logits, bias, labels, np.ones(2000, dtype=bool))

    low = limits.lower > 0
    high = np.isfinite(limits.upper)
    assert 0 < low.sum() < 2000
    assert 0 < high.sum() < 2000
    for rows, scale, same in (
        (low, limits.lower * (1 + 1e-9), True),
        (low, limits.lower * (1 - 1e-9), False),
        (high, limits.upper * (1 - 1e-9), True),
        (high, limits.upper * (1 + 1e-9), False),
    ):
        answers = scaled_prediction(features[rows], weight, bias, scale[rows])
        assert ((answers == labels[rows]) == same).all()
    far = scaled_prediction(features[~high], weight, bias, np.full((~high).sum(), 1e9))
    assert (far == labels[~high]).all()


def test_only_classes_of_the_largest_bias_survive_at_the_origin():
    features, weight, bias = random_head(3, 3000, 4, 6, 0.5)
    logits = features @ weight.T + bias
    labels = logits.argmax(axis=1)

    found = first_error_steps(ray_limits(logits, bias, labels, np.ones(3000, dtype=bool)).lower)

    assert found.never.any()
    assert (labels[found.never] == bias.argmax()).all()
    assert found.never.sum() == (labels == bias.argmax()).sum()


def test_an_exact_tie_at_the_origin_counts_as_never():
    logits, bias = np.array([[3.0, 1.0]]), np.array([1.0, 1.0])

    found = first_error_steps(ray_limits(logits, bias, np.array([0]), np.array([True])).lower)

    assert found.never[0]
    assert found.step[0] == 100


def test_initially_wrong_images_have_no_limits_and_no_step(rng):
    logits, bias = rng.standard_normal((200, 4)), rng.standard_normal(4)
    labels = rng.integers(0, 4, 200)
    correct = logits.argmax(axis=1) == labels

    limits = ray_limits(logits, bias, labels, correct)
    found = first_error_steps(limits.lower)

    assert (np.isnan(limits.lower) == ~correct).all()
    assert (np.isnan(limits.upper) == ~correct).all()
    assert (np.isnan(found.step) == ~correct).all()
    assert not found.never[~correct].any()


def test_limits_do_not_depend_on_how_logits_are_stored(rng, tmp_path):
    logits = rng.standard_normal((500, 30)).astype(np.float32)
    bias = rng.standard_normal(30).astype(np.float32)
    labels = logits.argmax(axis=1)
    np.save(tmp_path / "logits.npy", logits)
    right = np.ones(500, dtype=bool)

    mapped = ray_limits(np.load(tmp_path / "logits.npy", mmap_mode="r"), bias, labels, right)
    exact = ray_limits(logits.astype(np.float64), bias.astype(np.float64), labels, right)

    assert (mapped.lower == exact.lower).all()
    assert (mapped.upper == exact.upper).all()


def test_growing_all_features_shrinks_the_lower_limit_in_proportion():
    features, weight, bias = random_head(11, 400, 6, 5, 1.0)
    logits = features @ weight.T + bias
    labels = logits.argmax(axis=1)
    before = ray_limits(logits, bias, labels, np.ones(400, dtype=bool))
    grown = 1.01 * features @ weight.T + bias
    still = grown.argmax(axis=1) == labels

    after = ray_limits(grown, bias, labels, still)

    assert after.lower[still] == pytest.approx(before.lower[still] / 1.01, rel=1e-9, abs=1e-12)
