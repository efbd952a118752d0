"""Pixels equal those of timm's and torchvision's evaluation transforms, to the bit."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval
from torchvision.datasets.folder import default_loader
from torchvision.models import ResNet50_Weights, ViT_B_16_Weights, get_weight
from torchvision.transforms.functional import pil_to_tensor

from repaudit.data import open_images
from repaudit.data._prepare import prepare, prepare_float, to_channels
from repaudit.preprocessing import Crop, Interpolation, Preprocess

SHAPES = [(75, 100), (100, 75), (97, 211), (64, 64), (20, 30), (301, 40), (65, 64)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.875, 0.95, 1.0])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop", ["center", "squash", "border"])
def test_pixels_equal_timms_evaluation_transform(draw, shape, share, interpolation, crop):
    picture = Image.fromarray(draw(*shape))
    expected = transforms_imagenet_eval(
        64, crop_pct=share, crop_mode=crop, interpolation=interpolation, mean=MEAN, normalize=False
    )(picture)
    preprocess = Preprocess(
        mean=MEAN,
        std=STD,
        size=(64, 64),
        resize=int(64 / share),
        crop=Crop(crop),
        interpolation=Interpolation(interpolation),
        source="test",
    )

    assert np.array_equal(prepare(picture, preprocess), expected.numpy())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("crop", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "resize", "share"), [((48, 96), 64, 0.75), ((96, 48), None, 1.0)])
def test_pixels_equal_timms_for_networks_that_are_not_square(draw, shape, crop, size, resize, share):
    picture = Image.fromarray(draw(*shape))
    expected = transforms_imagenet_eval(
        size, crop_pct=share, crop_mode=crop, interpolation="bicubic", mean=MEAN, normalize=False
    )(picture)
    preprocess = Preprocess(mean=MEAN, std=STD, size=size, resize=resize, crop=Crop(crop), source="test")

    assert np.array_equal(prepare(picture, preprocess), expected.numpy())


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (224, 224), (150, 500)])
@pytest.mark.parametrize(
    "weights",
    [ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2, ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1],
)
def test_pixels_equal_torchvisions_transforms(draw, shape, weights):
    picture = Image.fromarray(draw(*shape))
    transforms = get_weight(str(weights)).transforms()
    expected = transforms(picture)
    mean, std = torch.tensor(transforms.mean), torch.tensor(transforms.std)
    preprocess = Preprocess(
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        size=tuple(transforms.crop_size * 2),
        resize=transforms.resize_size[0],
        interpolation=Interpolation(transforms.interpolation.value),
        source="test",
    )

    ours = torch.tensor(prepare(picture, preprocess)).float() / 255

    assert torch.equal((ours - mean[:, None, None]) / std[:, None, None], expected)


def test_without_a_size_pixels_are_those_of_the_file(draw):
    pixels = draw(9, 13)
    preprocess = Preprocess(mean=MEAN, std=STD, source="test")

    assert np.array_equal(prepare(Image.fromarray(pixels), preprocess).transpose(1, 2, 0), pixels)


def picture_of(mode: str, pixels: np.ndarray) -> tuple[str, bytes]:
    """A file of that mode: its suffix and bytes."""
    stream = io.BytesIO()
    colour = Image.fromarray(pixels)
    if mode == "I;16":
        Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(stream, "PNG")
    elif mode == "P":
        colour.quantize(16).save(stream, "PNG", transparency=bytes([0, 128, 255]))
    elif mode == "RGBA":
        colour.putalpha(Image.fromarray(pixels[:, :, 0]))
        colour.save(stream, "PNG")
    elif mode == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        colour.save(stream, "JPEG", exif=exif)
    elif mode == "F":
        Image.fromarray(pixels[:, :, 0].astype(np.float32)).save(stream, "TIFF")
    else:
        colour.convert(mode).save(stream, "JPEG" if mode == "CMYK" else "PNG")
    return {"CMYK": "jpg", "rotated": "jpg", "F": "tif"}.get(mode, "png"), stream.getvalue()


@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")  # the oracle's, not ours
@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16", "F", "rotated"])
def test_every_mode_is_converted_as_torchvisions_loader_does(tmp_path, draw, make_request, mode):
    suffix, content = picture_of(mode, draw(14, 10))
    path = tmp_path / "0" / f"picture.{suffix}"
    path.parent.mkdir()
    path.write_bytes(content)

    images = open_images(make_request(f"imagefolder:{tmp_path}"))

    assert torch.equal(next(images.batches(1)).stored[0], pil_to_tensor(default_loader(path)))


def test_a_model_of_one_channel_gets_pils_luminance(tmp_path, draw, make_request):
    (tmp_path / "3").mkdir()
    Image.fromarray(draw()).save(tmp_path / "3" / "colour.png")

    images = open_images(make_request(f"imagefolder:{tmp_path}", channels=1))

    expected = np.asarray(Image.open(tmp_path / "3" / "colour.png").convert("L"))
    assert np.array_equal(next(images.batches(1)).stored[0, 0].numpy(), expected)


def test_float_images_are_fitted_within_rounding_of_the_uint8_way(draw):
    pixels = draw(40, 60)
    preprocess = Preprocess(mean=MEAN, std=STD, size=(24, 24), resize=30, source="test")

    floats = prepare_float(pixels.astype(np.float32) / 255, preprocess)

    assert floats.dtype == np.float32
    # PIL rounds to 8 bits after each of its two passes.
    assert np.abs(floats * 255 - prepare(Image.fromarray(pixels), preprocess)).max() <= 1.5


def test_grey_from_colour_agrees_between_floats_and_uint8(draw):
    pixels = draw(20, 20)

    exact = to_channels(pixels.astype(np.float32) / 255, 1) * 255

    assert np.abs(exact - to_channels(pixels, 1)).max() <= 1
    assert np.array_equal(to_channels(pixels, 1)[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))
