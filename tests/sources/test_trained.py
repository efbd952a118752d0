"""A checkpoint of `repaudit train` can be scanned from the file alone, and timm loads it as its own."""

import json

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from repaudit.errors import InvalidModel
from repaudit.preprocessing import Preprocess
from repaudit.sources import load_model
from repaudit.train.examples import Examples, Material
from repaudit.train.export import export
from repaudit.train.method import parse_method
from repaudit.train.network import build
from repaudit.train.recipe import Recipe
from repaudit.train.runs import Run


def material(channels=3, side=32):
    stored = torch.zeros(8, channels, side, side, dtype=torch.uint8)
    examples = Examples(stored=stored, labels=torch.arange(8) % 4)
    preprocess = Preprocess(mean=(0.4,) * channels, std=(0.3,) * channels, size=(side, side), source="test")
    return Material(
        train=examples, held_out=None, test=examples, preprocess=preprocess, classes=4, class_names=tuple("abcd"),
        train_fingerprint="0" * 64, test_reference="npz:x", test_rows=None,
    )  # fmt: skip


def made(tmp_path, extra=3, channels=3, side=32, **network):
    built = build(
        Run(Recipe.model_validate({"network": network}), parse_method("vs"), 0), material(channels, side), extra
    )
    built.network.eval()
    export(built, tmp_path, {"recipe": "r"})
    return built


@pytest.mark.parametrize(
    ("arch", "channels", "side", "bottleneck"),
    [("baseline:conv4", 1, 8, None), ("baseline:resnet20", 3, 32, 2), ("test_resnet", 3, 64, None),
     ("torchvision:mobilenet_v3_small", 3, 64, None)],
)  # fmt: skip
def test_the_file_alone_answers_as_the_wide_network_s_first_classes_to_the_last_bit(
    tmp_path, arch, channels, side, bottleneck
):
    built = made(tmp_path, channels=channels, side=side, arch=arch, bottleneck=bottleneck)
    images = torch.rand(5, channels, side, side, generator=torch.Generator().manual_seed(3))

    classifier = load_model(str(tmp_path / "model.safetensors"))
    with torch.inference_mode():
        wide = built.network(images)
        found = classifier.forward(images)

    assert wide.shape == (5, 7)
    assert torch.equal(found.logits, wide[:, :4])
    assert classifier.card.class_ids == ("a", "b", "c", "d")
    assert classifier.card.preprocess.mean == (0.4,) * channels
    assert classifier.card.head.feature_width == (bottleneck or classifier.card.head.feature_width)


def test_timm_loads_it_as_a_network_of_its_own(tmp_path):
    built = made(tmp_path, arch="test_resnet", side=64)
    network = timm.create_model(
        "test_resnet", num_classes=4, checkpoint_path=str(tmp_path / "model.safetensors")
    ).eval()
    images = torch.rand(2, 3, 64, 64)

    with torch.inference_mode():
        assert torch.equal(network((images - 0.4) / 0.3), built.network(images)[:, :4])


def test_virtual_rows_travel_beside_it(tmp_path):
    built = made(tmp_path, arch="baseline:conv4", channels=1, side=8)
    rows = load_file(tmp_path / "vs_head.safetensors")

    assert torch.equal(rows["15.weight"], built.network.network[15].virtual.weight)
    assert rows["15.bias"].shape == (3,)
    with safe_open(tmp_path / "vs_head.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["repaudit"])["recipe"] == "r"


def test_without_virtual_classes_there_is_no_second_file(tmp_path):
    made(tmp_path, extra=0, arch="baseline:conv4", channels=1, side=8)

    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_argument_that_would_make_another_network_is_refused(tmp_path):
    made(tmp_path, arch="baseline:conv4", channels=1, side=8)

    with pytest.raises(InvalidModel, match="says itself which network"):
        load_model(str(tmp_path / "model.safetensors"), arguments={"width": 8})
