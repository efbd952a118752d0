"""A scan stops where labels are in another order than the model's classes, and nowhere else."""

import numpy as np
import pytest
import torch

from repaudit.errors import InvalidData
from repaudit.tripwire import check_label_order, implied_accuracy


def sure_logits(rng, predictions, classes, confidence_gap=6.0):
    logits = rng.normal(size=(len(predictions), classes))
    logits[np.arange(len(predictions)), predictions] += confidence_gap
    return logits


@pytest.fixture
def judge(logits_evidence, make_images):
    def check(logits, labels):
        images = make_images(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), np.asarray(labels))
        return check_label_order(logits_evidence(logits, labels), images, None)

    return check


def test_a_permutation_of_the_classes_is_refused_and_its_pairs_are_shown(judge, rng):
    truth = np.repeat(np.arange(10), 20)

    with pytest.raises(InvalidData, match="different orders") as refused:
        judge(sure_logits(rng, truth, 10), (truth + 3) % 10)
    assert "label 3 -> predicted 0: 20 of 20 images" in refused.value.detail


def test_folders_sorted_as_text_are_refused_among_a_thousand_classes(judge, rng):
    truth = rng.integers(0, 1000, 1500)
    as_text = {name: rank for rank, name in enumerate(sorted(map(str, range(1000))))}
    labels = np.array([as_text[str(label)] for label in truth])

    with pytest.raises(InvalidData):
        judge(sure_logits(rng, truth, 1000, 9.0), labels)


def test_flipped_binary_labels_are_refused(judge, rng):
    truth = rng.integers(0, 2, 300)

    with pytest.raises(InvalidData):
        judge(sure_logits(rng, 1 - truth, 2), truth)


@pytest.mark.parametrize("accuracy", [1.0, 0.6, 0.3])
def test_a_model_passes_however_weak_it_is(judge, rng, accuracy):
    truth = rng.integers(0, 10, 400)
    predictions = np.where(rng.random(400) < accuracy, truth, rng.integers(0, 10, 400))

    assert judge(sure_logits(rng, predictions, 10), truth) is None


def test_a_poor_binary_model_passes(judge, rng):
    truth = rng.integers(0, 2, 300)
    poor = np.where(rng.random(300) < 0.65, truth, 1 - truth)

    assert judge(sure_logits(rng, poor, 2), truth) is None


def test_an_untrained_model_passes_because_it_does_not_claim_to_know(judge, rng):
    truth = rng.integers(0, 10, 400)

    assert judge(rng.normal(size=(400, 10)) * 0.1, truth) is None


def test_an_untrained_network_passes_although_alike_images_get_alike_predictions(judge, rng):
    truth = np.repeat(np.arange(10), 60)
    centres = rng.normal(size=(10, 64)) * 3 + 5
    logits = (centres[truth] + rng.normal(size=(600, 64))) @ rng.normal(size=(64, 10)) * 0.3

    assert implied_accuracy(truth, logits.argmax(1)) > 0.4
    judge(logits, truth)


def test_a_data_set_on_which_a_sure_model_is_always_wrong_in_its_own_way_is_noticed_but_not_refused(judge, rng):
    truth = rng.integers(0, 10, 400)
    wrong = (truth + rng.integers(1, 10, 400)) % 10

    assert judge(sure_logits(rng, wrong, 10), truth).code == "accuracy-at-chance"


def test_too_few_images_prove_nothing(judge, rng):
    assert judge(sure_logits(rng, np.zeros(10, dtype=int), 10), np.ones(10, dtype=int)) is None


@pytest.mark.parametrize("accuracy", [0.9, 0.7])
def test_the_implied_accuracy_is_the_accuracy_when_errors_are_spread_evenly(rng, accuracy):
    truth = np.repeat(np.arange(100), 60)
    spread = rng.integers(0, 100, len(truth))
    predictions = np.where(rng.random(len(truth)) < accuracy, truth, spread)

    assert implied_accuracy(rng.permutation(100)[truth], predictions) == pytest.approx(accuracy, abs=0.02)


def test_labels_of_another_set_of_classes_are_noticed_however_unsure_the_model_is(judge, rng):
    truth = np.repeat(np.arange(10), 2)

    notice = judge(rng.normal(size=(20, 1000)) * 0.01 + (np.arange(1000) >= 10), truth)

    assert notice.code == "accuracy-at-chance"
    assert notice.message == (
        "accuracy 0.000 is no better than chance, and the labels use 10 of the model's 1,000 classes: "
        "check the labels and the preprocessing"
    )


def test_a_few_classes_of_many_are_no_fault_where_the_model_knows_them(judge, rng):
    truth = np.repeat(np.arange(10), 2)
    predictions = np.where(np.arange(20) % 2 == 0, truth, 500)

    assert judge(sure_logits(rng, predictions, 1000, 9.0), truth) is None


def test_one_image_a_class_does_not_say_that_the_labels_use_few_classes(judge, rng):
    assert judge(rng.normal(size=(20, 1000)) * 0.01 + (np.arange(1000) >= 20), np.arange(20)) is None
