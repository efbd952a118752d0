"""A network that does not answer images with one row of finite logits each is refused at load."""

import pytest
import torch

from repaudit.errors import InvalidModel
from repaudit.sources import open_model

FILE = """
import torch
from torch import nn


class Answering(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.answer = answer

    def forward(self, x):
        return self.answer(self.layer(x).mean((2, 3)))


def pair():
    return Answering(lambda z: (z, z))


def mapping():
    return Answering(lambda z: {"logits": z})


def one_logit():
    return Answering(lambda z: z[:, :1])


def map_of_logits():
    return Answering(lambda z: z[:, :, None, None])


def nan():
    return Answering(lambda z: z * float("nan"))


def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def only_20_pixels():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 4))


def only_28_pixels():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 4))


def channels_last():
    return nn.Sequential(nn.Linear(3, 5), nn.Flatten(), nn.Linear(5 * 16 * 16, 4))


def broken_weights():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 4))
    network[1].weight.data[2, 5] = float("inf")
    return network


def masked():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 4))
    network.register_buffer("mask", torch.full((3,), float("-inf")))
    return network


class Uncounted(nn.Module):
    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3))], 1)


def uncounted():
    return Uncounted()


def channels_first():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def half():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 4)).half()
"""


@pytest.fixture
def opened(tmp_path, half, request_for):
    path = tmp_path / "answers.py"
    path.write_text(FILE)

    def open_factory(factory, preprocess=None):
        chosen = half
        if preprocess is not None:
            chosen = tmp_path / "chosen.yaml"
            chosen.write_text(preprocess)
        return open_model(request_for(f"py:{path}:{factory}", preprocess=str(chosen)))

    return open_factory


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        ("pair", "answers with tuple"),
        ("mapping", "answers with dict"),
        ("one_logit", r"shape \(4, 1\), not \(4, classes\)"),
        ("map_of_logits", r"shape \(4, 4, 1, 1\)"),
        ("nan", "NaN or infinity on 4 of 4"),
        ("grey", r"cannot take images of shape \(4, 3, 32, 32\)"),
        ("only_20_pixels", "cannot take images"),
        ("broken_weights", r"`1\.weight` hold NaN"),
    ],
)
def test_such_a_network_is_refused(factory, problem, opened):
    with pytest.raises(InvalidModel, match=problem) as refusal:
        opened(factory)

    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("factory", "layout", "other", "fed", "place"),
    [
        ("channels_last", "nchw", "nhwc", "(4, 3, 16, 16)", "last"),
        ("channels_first", "nhwc", "nchw", "(4, 16, 16, 3)", "first"),
    ],
)
def test_images_in_the_wrong_order_of_axes_are_refused_with_the_right_one(factory, layout, other, fed, place, opened):
    with pytest.raises(InvalidModel) as refusal:
        opened(factory, f"mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: 16\nlayout: {layout}\n")

    assert f"cannot take images of shape {fed}" in refusal.value.problem
    assert f"whose channels come {place}" in refusal.value.detail
    assert refusal.value.remedy.endswith(f"layout: {other}")


def test_a_given_size_is_the_one_that_is_used(opened):
    classifier = opened("only_20_pixels", "mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: 20\n")

    assert classifier.logits(torch.zeros(2, 3, 20, 20)).shape == (2, 4)


def test_without_a_given_size_usual_ones_are_tried_and_the_card_says_which(opened):
    classifier = opened("only_28_pixels")

    assert classifier.card.preprocess.size is None
    assert "no input size is given; checked on 28×28 images" in classifier.card.notes


def test_a_channels_last_network_gets_its_layout(opened):
    classifier = opened("channels_last", "mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: 16\nlayout: nhwc\n")

    assert classifier.features(torch.zeros(2, 3, 16, 16)).shape == (2, 5 * 16 * 16)


def test_one_mean_makes_a_grey_classifier(opened):
    classifier = opened("grey", "mean: 0.5\nstd: 0.5\n")

    assert classifier.logits(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


def test_minus_infinity_in_a_buffer_is_a_mask_and_no_fault(opened):
    assert opened("masked").card.classes_count == 4


def test_a_half_precision_network_is_computed_in_float32(opened):
    assert opened("half").logits(torch.zeros(2, 3, 28, 28)).dtype == torch.float32


@pytest.mark.parametrize(
    ("factory", "operations"),
    [
        ("only_28_pixels", 2 * 3 * 28 * 28 * 4),
        ("channels_last", 2 * 16 * 16 * 3 * 5 + 2 * 5 * 16 * 16 * 4),
        ("uncounted", None),
    ],
)
def test_what_one_image_costs_is_counted_where_it_can_be(factory, operations, opened):
    layout = "mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\nsize: [{0}, {0}]\n"
    side = 16 if factory == "channels_last" else 28
    more = "layout: nhwc\n" if factory == "channels_last" else ""

    assert opened(factory, layout.format(side) + more).card.operations == operations
