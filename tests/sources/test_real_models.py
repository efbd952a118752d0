"""Real checkpoints give the counts that independent code measured on the same images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from repaudit.classifier import Capability
from repaudit.sources import open_model

RESNET20 = "mean: [0.485, 0.456, 0.406]\nstd: [0.229, 0.224, 0.225]\n"
CNN_A = "mean: [0.4914, 0.4824, 0.4467]\nstd: [0.2023, 0.1994, 0.2010]\n"
RESNET2B = "mean: [0.4914, 0.4822, 0.4465]\nstd: [0.2471, 0.2435, 0.2616]\n"


@pytest.mark.parametrize(
    ("weights", "factory", "preprocess", "right", "width"),
    [
        ("resnet20-12fca82f.th", "resnet20", RESNET20, 228, 64),
        ("cnn_a_mix.pth", "cnn_a", CNN_A, 192, 100),
        ("cnn_a_adv4.pth", "cnn_a", CNN_A, 144, 100),
        ("resnet2b.pth", "resnet2b", RESNET2B, 168, 100),
    ],
)
def test_a_cifar_checkpoint_is_right_as_often_as_measured_elsewhere(
    assets, tmp_path, networks, request_for, weights, factory, preprocess, right, width
):
    (tmp_path / "preprocess.yaml").write_text(preprocess)
    request = request_for(
        str(assets / "cifar10" / weights),
        arch=f"py:{networks}:{factory}",
        preprocess=str(tmp_path / "preprocess.yaml"),
    )
    classifier = open_model(request)
    test = np.load(assets / "cifar10" / "cifar10_test_250.npz")
    images = torch.from_numpy(test["images"]).permute(0, 3, 1, 2).float() / 255

    with torch.inference_mode():
        output = classifier.forward(images)

    assert abs(int((output.logits.argmax(1).numpy() == test["labels"]).sum()) - right) <= 1
    assert output.features.shape == (250, width)
    assert torch.allclose(classifier.head(output.features), output.logits, atol=1e-4)
    assert classifier.capabilities == frozenset(Capability)


def test_the_legacy_pickle_with_nested_keys_and_cuda_storages_says_what_was_unwrapped(assets, networks, request_for):
    request = request_for(
        str(assets / "cifar10" / "resnet20-12fca82f.th"),
        arch=f"py:{networks}:resnet20",
        preprocess="torchvision:resnet18",
    )

    card = open_model(request).card

    assert "weights under `state_dict` of resnet20-12fca82f.th" in card.notes
    assert any("`module.` stripped" in note for note in card.notes)
    assert card.files["resnet20-12fca82f.th"].startswith("12fca82f")
    assert card.params_count == 269_722  # "0.27M" in He et al. 2015, table 6, counted by hand


def photos_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.jpg"))


@pytest.mark.slow
def test_mobilenetv2_with_same_padding_recognises_the_photos_as_often_as_measured_elsewhere(assets, half, request_for):
    folder = assets / "imagenet_like"
    request = request_for(
        str(folder / "mobilenetv2_100_slim_fp16.pth"),
        arch="mobilenetv2_100",
        arguments={"pad_type": "same"},
        preprocess=str(half),
    )
    classifier = open_model(request)
    photos = photos_of(folder / "val")
    images = torch.stack(
        [torch.from_numpy(np.array(Image.open(photo).convert("RGB"))).permute(2, 0, 1) for photo in photos]
    )

    with torch.inference_mode():
        prediction = torch.cat([classifier.logits(part / 255).argmax(1) for part in images.split(60)])

    named = [classifier.card.class_ids[index] for index in prediction]
    right = sum(name == photo.parent.name for name, photo in zip(named, photos, strict=True))
    assert len(photos) == 240
    assert abs(right - 201) <= 1
