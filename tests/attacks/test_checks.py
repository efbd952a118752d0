"""What is found wrong with a network before anything is attacked."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks.checks import preflight, unchanged
from repaudit.case import EvaluationShape
from repaudit.errors import InvalidData, InvalidModel

SHAPE = EvaluationShape(rows=8, calls=1)


@pytest.fixture
def images(classifier, predicted_images):
    return predicted_images(classifier, 20)


def look(classifier, images):
    return preflight(classifier, images, images.ids, SHAPE)


def codes(notices):
    return [notice.code for notice in notices]


class Layer(nn.Module):
    """A layer made of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_an_honest_network_passes(classifier, images):
    found = look(classifier, images)

    assert (found.faults, found.remarks, found.gradients) == ((), (), True)


def test_one_image_is_enough(classifier, images):
    assert preflight(classifier, images, images.ids[:1], SHAPE).faults == ()


def test_no_image_is_not(classifier, images):
    with pytest.raises(ValueError, match="no image"):
        preflight(classifier, images, [], SHAPE)


def test_dropout_that_is_always_on_is_named(make_classifier, network, images):
    noisy = make_classifier(
        nn.Sequential(Layer(lambda x: nn.functional.dropout(x, 0.2, training=True)), *network), mean=0.5, std=0.5
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = look(noisy, images)

    assert "random-network" in codes(found.faults)


@pytest.mark.parametrize(
    "layer",
    [
        Layer(lambda x: x - x.mean(0, keepdim=True)),
        Layer(lambda x: nn.functional.batch_norm(x, None, None, training=True)),
        Layer(lambda x: x / x.std()),
    ],
    ids=["subtracts the batch mean", "normalises by the batch", "divides by the batch deviation"],
)
@pytest.mark.parametrize("count", [1, 20])
def test_a_network_that_heeds_the_neighbours_is_named(make_classifier, network, images, layer, count):
    dependent = make_classifier(nn.Sequential(layer, *network), mean=0.5, std=0.5)

    found = preflight(dependent, images, images.ids[:count], SHAPE)

    assert codes(found.faults) == ["batch-dependent-network"]


def test_batch_normalisation_in_training_mode_is_refused_by_name(make_classifier, network, images):
    learning = make_classifier(nn.Sequential(nn.BatchNorm2d(3), *network))
    learning.network[0].train()

    with pytest.raises(InvalidModel) as refused:
        look(learning, images)

    assert "training mode, first `0`" in refused.value.problem
    assert "eval()" in refused.value.remedy


def test_statistics_that_move_when_the_network_is_asked_are_refused_by_name(make_classifier, network, images):
    class Sly(nn.BatchNorm2d):
        def forward(self, x):
            return nn.functional.batch_norm(x, self.running_mean, self.running_var, training=True)

    sly = make_classifier(nn.Sequential(Sly(3), *network))

    with pytest.raises(InvalidModel, match=r"buffers .* first `0.running_mean`"):
        look(sly, images)


def test_modules_that_were_switched_during_an_attack_are_switched_back(network):
    network.eval()

    def attack():
        with unchanged(network):
            network.train()
            raise RuntimeError("the attack failed")

    with pytest.raises(RuntimeError, match="attack"):
        attack()

    assert not any(module.training for module in network.modules())


def test_images_that_were_normalised_before_are_refused(classifier, make_images):
    stored = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    with pytest.raises(InvalidData, match=r"pixels lie in \[0, 1\]"):
        look(classifier, make_images(stored, np.zeros(9)))


def test_a_pixel_that_is_not_a_number_is_refused(classifier, make_images):
    stored = torch.full((2, 3, 8, 8), 0.5)
    stored[1, 0, 0, 0] = torch.nan

    with pytest.raises(InvalidData, match="image-0001"):
        look(classifier, make_images(stored, np.zeros(2)))


def test_rounding_outside_the_range_is_let_pass(classifier, make_images):
    stored = torch.full((2, 3, 8, 8), 1 + 3e-7)

    assert look(classifier, make_images(stored, np.zeros(2))).faults == ()


def test_another_number_of_classes_than_promised_is_refused(make_classifier, network, images):
    lying = make_classifier(nn.Sequential(*network[:-1], Layer(lambda x: x), network[-1]), mean=0.5, std=0.5)
    lying.network = nn.Sequential(lying.network, Layer(lambda z: torch.cat([z, z[:, :1]], 1)))
    lying.network.eval()

    with pytest.raises(InvalidModel, match=r"\(8, 6\) where 5 classes"):
        look(lying, images)


def test_logits_that_are_no_numbers_on_clean_images_are_refused(make_classifier, network, images):
    broken = make_classifier(nn.Sequential(Layer(lambda x: x / 0), *network))

    with pytest.raises(InvalidModel, match="NaN or infinity"):
        look(broken, images)


def test_labels_outside_the_classes_are_refused(classifier, make_images):
    stored = torch.full((2, 3, 8, 8), 0.5)

    with pytest.raises(InvalidData, match="labels run from 0 to 7"):
        look(classifier, make_images(stored, np.array([0, 7])))


def test_a_network_that_cuts_its_own_graph_has_no_gradients(make_classifier, network, images):
    cut = make_classifier(nn.Sequential(Layer(torch.Tensor.detach), *network), mean=0.5, std=0.5)

    assert look(cut, images).gradients is False


def test_probabilities_in_place_of_logits_are_remarked(make_classifier, network, images):
    soft = make_classifier(network, mean=0.5, std=0.5)
    soft.network = nn.Sequential(network, nn.Softmax(1)).eval()

    assert codes(look(soft, images).remarks) == ["softmax-outputs"]


def test_a_network_that_normalises_again_what_was_normalised_is_remarked(make_classifier, network, predicted_images):
    once = make_classifier(nn.Sequential(Layer(lambda x: (x - 0.5) / 0.1), *network))
    images = predicted_images(once, 32)
    twice = make_classifier(nn.Sequential(Layer(lambda x: (x - 0.5) / 0.1), *network), mean=0.3, std=0.1)

    found = preflight(twice, images, images.ids, EvaluationShape(rows=32, calls=1))

    assert codes(found.remarks) == ["normalised-twice"]
    assert found.faults == ()


@pytest.mark.parametrize(("width", "announced"), [(75, True), (64, False)])
def test_rounding_that_depends_on_the_row_is_announced(make_classifier, predicted_images, width, announced):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, last = nn.Linear(192, width), nn.Linear(width, 2)
    network = nn.Sequential(nn.Flatten(), first, last)
    shuffled = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    features = torch.randn(8, width, generator=torch.Generator().manual_seed(2))
    if torch.equal(last(features)[shuffled], last(features[shuffled])) == announced:
        pytest.skip("this processor's kernels round otherwise")
    classifier = make_classifier(network)
    images = predicted_images(classifier, 8)

    found = preflight(classifier, images, images.ids, EvaluationShape(rows=8, calls=1))

    assert ("rounding-depends-on-place" in {remark.code for remark in found.remarks}) == announced


def test_a_network_that_answers_at_random_is_not_said_to_heed_its_neighbours(make_classifier, predicted_images):
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.randn(x.shape)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = make_classifier(nn.Sequential(nn.Flatten(), Noise(), nn.Linear(192, 5)))
        found = look(classifier, predicted_images(classifier, 20))

    assert codes(found.faults) == ["random-network"]
