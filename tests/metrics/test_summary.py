"""The reduction of logits against scipy's softmax, and what it refuses."""

import numpy as np
import pytest
from scipy.special import log_softmax

from repaudit.metrics.summary import CHUNK, chunks, summarize


def test_every_figure_is_that_of_scipys_softmax(rng):
    logits = rng.normal(0, 4, (2 * CHUNK + 11, 9)).astype(np.float32)
    labels = rng.integers(0, 9, len(logits))
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    index = np.arange(len(labels))
    one_hot = np.eye(9)[labels]

    summary = summarize(logits, labels)

    assert (summary.prediction == logits.argmax(axis=1)).all()
    assert (summary.correct == (logits.argmax(axis=1) == labels)).all()
    assert summary.confidence == pytest.approx(np.exp(log_p.max(axis=1)), rel=1e-13)
    assert summary.log_p_label == pytest.approx(log_p[index, labels], rel=1e-12, abs=1e-15)
    assert summary.brier == pytest.approx(((np.exp(log_p) - one_hot) ** 2).sum(axis=1), rel=1e-9, abs=1e-14)
    ranks = (-logits).argsort(axis=1)[:, :5]
    assert (summary.top5 == (ranks == labels[:, None]).any(axis=1)).all()
    others = np.where(one_hot > 0, -np.inf, logits)
    assert summary.margin == pytest.approx(logits[index, labels] - others.max(axis=1), rel=1e-6)


def test_the_margin_is_positive_exactly_where_the_prediction_is_right_and_nothing_ties(rng):
    logits = rng.normal(size=(500, 4))
    labels = rng.integers(0, 4, 500)

    summary = summarize(logits, labels)

    assert ((summary.margin > 0) == summary.correct).all()


def test_a_tie_has_no_margin():
    summary = summarize(np.array([[1.0, 1.0, 0.0]] * 2), np.array([0, 1]))

    assert summary.margin.tolist() == [0, 0]
    assert summary.correct.tolist() == [True, False]


def test_enormous_logits_stay_finite():
    summary = summarize(np.array([[3e38, 0.0], [-3e38, 3e38]], dtype=np.float32), np.array([1, 1]))

    assert np.isfinite(summary.log_p_label).all()
    assert summary.confidence.tolist() == [1.0, 1.0]


def test_a_float32_confidence_of_one_is_told_from_less_in_float64():
    summary = summarize(np.array([[20.0, 0.0]], dtype=np.float32), np.array([0]))

    assert 1 - summary.confidence[0] == pytest.approx(np.exp(-20), rel=1e-6)


def test_five_classes_are_always_among_the_first_five(rng):
    assert summarize(rng.normal(size=(30, 5)), rng.integers(0, 5, 30)).top5.all()


def test_chunks_cover_every_row_once():
    covered = [row for part in chunks(1000, 64) for row in range(part.start, part.stop)]

    assert covered == list(range(1000))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((3, 2)), np.zeros(2, dtype=int), "shape"),
        (np.zeros((2, 2)), np.array([0, 2]), "outside the 2 classes"),
        (np.zeros((2, 2)), np.array([-1, 0]), "outside the 2 classes"),
        (np.array([[np.nan, 0.0]]), np.array([0]), "finite"),
        (np.array([[np.inf, 0.0]]), np.array([0]), "finite"),
    ],
)
def test_what_cannot_be_summarised_is_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        summarize(logits, labels)


def test_equal_logits_put_the_lower_classes_first_in_top1_and_in_top5_alike():
    labels = np.arange(10)
    summary = summarize(np.zeros((10, 10), dtype=np.float32), labels)

    assert summary.correct.tolist() == [True] + [False] * 9
    assert summary.top5.tolist() == [True] * 5 + [False] * 5
