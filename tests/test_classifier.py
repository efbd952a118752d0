"""The classifier: pixels in, normalisation inside, frozen, split where it says."""

import pytest
import torch
from torch import nn


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 36, 5)
        )


@pytest.fixture
def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_normalisation_lies_inside(make_classifier, network, images):
    classifier = make_classifier(network, mean=0.4, std=0.2)

    torch.testing.assert_close(classifier.logits(images), network((images - 0.4) / 0.2))


def test_the_head_of_the_features_is_the_logits(make_classifier, network, images):
    classifier = make_classifier(network)

    torch.testing.assert_close(classifier.head(classifier.features(images)), classifier.logits(images))


def test_a_network_in_training_mode_is_put_into_eval_mode_and_frozen(make_classifier, network, images):
    network.train()
    classifier = make_classifier(network)

    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(classifier.logits(images), classifier.logits(images))


def test_gradients_flow_back_to_the_pixels_and_never_into_the_weights(make_classifier, network, images):
    classifier = make_classifier(network, std=0.5)
    pixels = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.logits(pixels)[:, 0].sum(), pixels)

    step = 1e-2 * gradient.sign()
    with torch.no_grad():
        rise = (classifier.logits(images + step)[:, 0] - classifier.logits(images - step)[:, 0]).sum()
    assert rise > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_every_row_that_goes_forward_is_counted(make_classifier, network, images):
    classifier = make_classifier(network)
    classifier.logits(images)
    classifier.features(images[:2])

    assert classifier.work.forward_rows == 8


def test_in_bfloat16_features_and_logits_are_still_one_affine_map_apart(make_classifier, network, images):
    classifier = make_classifier(network)
    with torch.no_grad():
        half = classifier.forward(images, torch.bfloat16)
        full = classifier.forward(images)

    torch.testing.assert_close(half.logits, classifier.head(half.features), rtol=1e-6, atol=1e-6)
    assert half.logits.dtype == torch.float32
    assert 0 < (half.logits - full.logits).abs().max() < 0.05
