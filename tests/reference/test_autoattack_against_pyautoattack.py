"""The whole protocol, with our own noise, beside the published implementation with its own."""

import numpy as np
import pytest

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.reference import evaluate_by_reference
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.case import EvaluationShape
from repaudit.progress import SilentProgress

pytest.importorskip("pyautoattack", reason="the reference implementation is not installed")

ROBUST = CODES[Outcome.ROBUST]


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", ["2/255", "4/255"])
def test_robust_accuracy_is_within_two_images_of_the_published_implementations(
    real_network, cifar_images, subjects_of, epsilon
):
    classifier, images = real_network("resnet2b"), cifar_images(250)
    subjects = subjects_of(classifier, images, rows=32)
    setting = resolve({"name": "autoattack", "epsilon": epsilon})
    common = {"seed": 0, "shape": EvaluationShape(rows=32, calls=8), "progress": SilentProgress()}

    ours = evaluate(classifier, images, subjects, setting, **common)
    theirs = evaluate_by_reference(classifier, images, subjects, setting, **common)

    assert abs(ours.count(Outcome.ROBUST) - theirs.count(Outcome.ROBUST)) <= 2
    assert 168 * 0.3 < ours.count(Outcome.ROBUST) < 168
    sure = ~(ours.marginal | theirs.marginal)
    differing = np.flatnonzero(sure & (ours.outcome != theirs.outcome))
    assert len(differing) <= 2
