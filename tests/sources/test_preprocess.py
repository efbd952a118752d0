"""Preprocessing is what timm, torchvision or the person says, to the pixel, and never a guess."""

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision import models
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

from repaudit.errors import InvalidModel
from repaudit.preprocessing import Crop, Interpolation, Layout
from repaudit.sources import open_model
from repaudit.sources._preprocess import from_mapping, from_timm, read_preprocess


@pytest.fixture
def picture(rng) -> Image.Image:
    noise = rng.integers(0, 256, (41, 53, 3), dtype="uint8")
    return Image.fromarray(noise).resize((420, 333), Image.Resampling.BICUBIC)


def centre_transform(preprocess) -> Compose:
    """What `Preprocess` says in words, in torchvision's terms."""
    assert preprocess.crop is Crop.CENTER
    interpolation = InterpolationMode(preprocess.interpolation.value)
    return Compose(
        [
            Resize(preprocess.resize, interpolation),
            CenterCrop(preprocess.size),
            ToTensor(),
            Normalize(preprocess.mean, preprocess.std),
        ]
    )


@pytest.mark.parametrize(
    "name",
    ["resnet50.a1_in1k", "resnet18.tv_in1k", "vit_base_patch16_224.augreg_in21k_ft_in1k", "efficientnet_b1.ft_in1k"],
)
def test_timm_figures_give_the_pixels_of_timms_own_transform(name, picture):
    config = timm.get_pretrained_cfg(name).to_dict()
    expected = create_transform(**resolve_data_config({}, pretrained_cfg=config))(picture)

    assert torch.equal(centre_transform(read_preprocess(f"timm:{name}"))(picture), expected)


@pytest.mark.parametrize(
    ("reference", "weights"),
    [
        ("resnet50/IMAGENET1K_V1", models.ResNet50_Weights.IMAGENET1K_V1),
        ("resnet50", models.ResNet50_Weights.IMAGENET1K_V2),
        ("ResNet50_Weights.IMAGENET1K_V2", models.ResNet50_Weights.IMAGENET1K_V2),
        ("vit_b_16/IMAGENET1K_SWAG_E2E_V1", models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1),
        ("inception_v3/DEFAULT", models.Inception_V3_Weights.DEFAULT),
    ],
)
def test_torchvision_figures_give_the_pixels_of_torchvisions_own_transform(reference, weights, picture):
    expected = weights.transforms()(picture)

    assert torch.allclose(centre_transform(read_preprocess(f"torchvision:{reference}"))(picture), expected, atol=1e-6)


def test_timms_other_crops_and_filters_keep_their_names():
    config = {"input_size": (3, 288, 288), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}

    squashed = from_timm({**config, "crop_mode": "squash", "interpolation": "bilinear"}, "test")
    bordered = from_timm({**config, "crop_mode": "border"}, "test")

    assert (squashed.crop, squashed.interpolation, squashed.resize) == (Crop.SQUASH, Interpolation.BILINEAR, 288)
    assert bordered.crop is Crop.BORDER


def test_a_yaml_file_gives_every_field(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "mean: [0.1, 0.2, 0.3]\nstd: [0.4, 0.5, 0.6]\nsize: [192, 256]\nresize: 300\n"
        "crop: squash\ninterpolation: lanczos\nlayout: nhwc\n"
    )

    read = read_preprocess(str(path))

    assert (read.mean, read.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (read.size, read.resize) == ((192, 256), 300)
    assert (read.crop, read.interpolation, read.layout) == (Crop.SQUASH, Interpolation.LANCZOS, Layout.NHWC)
    assert read.source == "mine.yaml"


@pytest.mark.parametrize(
    ("changed", "problem", "remedy"),
    [
        ({"mena": [0.5]}, "unknown preprocessing key `mena`", "`mean`"),
        ({"interpolate": "bicubic"}, "unknown preprocessing key `interpolate`", "`interpolation`"),
        ({"std": None}, "lacks `std`", "mean:"),
        ({"mean": [123.675, 116.28, 103.53]}, r"pixels lie in \[0, 1\]", "mean: [0.485, 0.456, 0.406]"),
        ({"std": [58.395, 57.12, 57.375]}, r"pixels lie in \[0, 1\]", "std: [0.229, 0.224, 0.225]"),
        ({"std": [0.5, 0.0, 0.5]}, "std above 0", "std:"),
        ({"std": [0.5]}, "one value per channel", "std:"),
        ({"mean": "0.5"}, "`mean` cannot be '0.5'", "a list of numbers"),
        ({"mean": [0.5, "x", 0.5]}, "`mean` cannot be 'x'", "a list of numbers"),
        ({"mean": [0.5, float("nan"), 0.5]}, "`mean` cannot be nan", "a list of numbers"),
        ({"size": 0}, "`size` cannot be 0", "size: 224"),
        ({"size": [224]}, r"`size` cannot be \[224\]", "size: [224, 224]"),
        ({"size": 2.5}, "`size` cannot be 2.5", "list"),
        ({"resize": 256}, "`resize` needs `size`", "size: 256"),
        ({"crop": "centre"}, "`crop` cannot be 'centre'", "crop: center"),
        ({"interpolation": "cubic"}, "`interpolation` cannot be 'cubic'", "interpolation: bicubic"),
        ({"layout": "NHWC"}, "`layout` cannot be 'NHWC'", "layout: nhwc"),
    ],
)
def test_a_figure_that_makes_no_sense_is_named_with_its_remedy(changed, problem, remedy):
    with pytest.raises(InvalidModel, match=problem) as refusal:
        from_mapping({"mean": [0.5] * 3, "std": [0.5] * 3, **changed}, "mine.yaml")

    assert remedy in refusal.value.remedy


@pytest.mark.parametrize("content", ["mean: [0.5\n", "just words", "- 0.5\n"])
def test_a_file_that_holds_no_figures_is_refused(content, tmp_path):
    (tmp_path / "mine.yaml").write_text(content)

    with pytest.raises(InvalidModel, match=r"mine\.yaml"):
        read_preprocess(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("reference", ["absent.yaml", "tim:resnet50"])
def test_a_reference_to_nothing_is_refused(reference):
    with pytest.raises(InvalidModel, match="there is no file"):
        read_preprocess(reference)


def test_an_own_network_without_figures_is_refused_with_the_ways_to_give_them(networks, request_for):
    with pytest.raises(InvalidModel, match="nothing says how images are normalised") as refusal:
        open_model(request_for(f"py:{networks}:tiny"))

    for way in ("timm:", "torchvision:", "FILE.yaml", "preprocess = {"):
        assert way in refusal.value.remedy


def test_the_command_line_wins_over_what_the_source_says(networks, half, request_for):
    networks.write_text(networks.read_text() + '\npreprocess = {"mean": [0.1] * 3, "std": [0.2] * 3}\n')

    declared = open_model(request_for(f"py:{networks}:tiny"))
    overruled = open_model(request_for(f"py:{networks}:tiny", preprocess=str(half)))

    assert declared.card.preprocess.mean == (0.1, 0.1, 0.1)
    assert overruled.card.preprocess.mean == (0.5, 0.5, 0.5)
