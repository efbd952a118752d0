"""Projected gradient descent on the margin, where its answer is known beforehand."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import resolve
from repaudit.attacks.verdict import Outcome

FIELDS = ("outcome", "iteration", "margin", "perturbation")


def images_of(classifier, make_images, n=40):
    generator = torch.Generator().manual_seed(4)
    stored = torch.randint(90, 166, (n, 3, 6, 6), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        return make_images(stored, classifier.logits(stored.float() / 255).argmax(1).numpy())


@pytest.fixture
def make_network():
    def make(classes, scale=1.0):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, classes))
        network[-1].weight.data *= scale
        network[-1].bias.data *= scale
        return network

    return make


def test_with_two_classes_its_linf_steps_are_those_on_the_cross_entropy(
    make_network, make_classifier, make_images, run
):
    classifier = make_classifier(make_network(2), mean=0.5, std=0.5)
    images = images_of(classifier, make_images)
    common = {"epsilon": 0.02, "steps": 8, "step_size": 0.005, "start": "clean"}

    on_margin, on_entropy = (run(classifier, images, {"name": name, **common}) for name in ("margin", "pgd"))

    for field in FIELDS:
        np.testing.assert_array_equal(getattr(on_margin, field), getattr(on_entropy, field), err_msg=field)
    assert 0 < on_margin.count(Outcome.BROKEN) < 40


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_sees_through_a_saturated_softmax(make_network, make_classifier, make_images, run, norm):
    """Scaling all logits changes no class and no direction of the margin's gradient; that of the entropy vanishes."""
    plain = make_classifier(make_network(5), mean=0.5, std=0.5)
    saturated = make_classifier(make_network(5, scale=2.0**17), mean=0.5, std=0.5)
    images = images_of(plain, make_images)
    common = {
        "norm": norm,
        "epsilon": 0.03 if norm == "linf" else 0.3,
        "steps": 10,
        "step_size": 0.01,
        "start": "clean",
    }

    before, after, blind = (
        run(classifier, images, {"name": name, **common}).count(Outcome.BROKEN)
        for classifier, name in [(plain, "margin"), (saturated, "margin"), (saturated, "pgd")]
    )

    assert before == after > 20
    assert blind < after / 2


def test_the_presets_are_those_of_the_virtual_smoothing_paper():
    for preset, name in [("margin_pgd", "margin"), ("pgd_20", "pgd")]:
        setting = resolve(preset)
        assert setting.name == name
        assert setting.threat.epsilon == 8 / 255
        options = {"steps": 20, "step_size": 2 / 255, "start": "uniform", "restarts": 1}
        assert setting.options.model_dump() == pytest.approx(options)
