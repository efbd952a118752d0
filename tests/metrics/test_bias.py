import numpy as np
import pytest

from repaudit.metrics.bias import bias_dependence, is_bias_free
from repaudit.metrics.cones import ray_limits


def case_of(seed, images=1500, classes=7):
    rng = np.random.Generator(np.random.PCG64(seed))
    alone, bias = rng.standard_normal((images, classes)), rng.standard_normal(classes)
    logits = alone + bias
    labels = np.where(rng.random(images) < 0.7, logits.argmax(axis=1), rng.integers(0, classes, images))
    return alone, bias, logits, labels


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_a_loop_over_images(seed):
    alone, bias, logits, labels = case_of(seed)
    correct = logits.argmax(axis=1) == labels
    n, lost, caused = [0] * 7, [0] * 7, 0
    for row in range(len(labels)):
        without = alone[row].argmax() == labels[row]
        if correct[row]:
            n[labels[row]] += 1
            lost[labels[row]] += not without
        else:
            caused += without

    found = bias_dependence(logits, bias, labels, correct)

    assert found.correct.tolist() == n
    assert found.lost.tolist() == lost
    assert found.caused_errors == caused > 0
    assert found.pooled == pytest.approx(sum(lost) / sum(n), abs=1e-15)


def test_an_image_depends_on_the_bias_exactly_where_its_ray_has_an_upper_end():
    _, bias, logits, labels = case_of(9)
    correct = logits.argmax(axis=1) == labels
    bounded = np.isfinite(ray_limits(logits, bias, labels, correct).upper)

    found = bias_dependence(logits, bias, labels, correct)

    assert found.lost.tolist() == np.bincount(labels[bounded], minlength=7).tolist()


def test_a_class_without_correct_images_is_undefined_rather_than_zero():
    logits, bias = np.array([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0]]), np.array([1.5, 0.0, 0.0])
    labels = np.array([0, 1])

    found = bias_dependence(logits, bias, labels, np.array([True, False]))

    assert found.defined.tolist() == [True, False, False]
    assert found.shares.tolist() == [1.0]  # without the bias, class 2 leads by a half


def test_pooled_share_of_no_correct_prediction_is_refused():
    logits = np.array([[2.0, 0.0]])

    found = bias_dependence(logits, np.array([1.0, 0.0]), np.array([1]), np.array([False]))

    with pytest.raises(ValueError, match="no prediction is correct"):
        _ = found.pooled


def test_a_level_rival_does_not_overtake():
    logits, bias = np.array([[1.0, 0.0]]), np.array([0.0, -1.0])

    found = bias_dependence(logits, bias, np.array([0]), np.array([True]))

    assert found.lost.tolist() == [0, 0]


def test_a_bias_common_to_all_classes_is_no_bias():
    assert is_bias_free(np.full(5, 0.3, dtype=np.float32))
    assert not is_bias_free(np.array([0.0, 1e-6]))
