"""Turns a picture into the pixels that a network takes, as timm's and torchvision's evaluation transforms do.

The same PIL calls with the same integers, so the result is the same to the bit; normalisation is left to the
classifier and the pixels stay uint8.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from repaudit.preprocessing import Crop, Interpolation

if TYPE_CHECKING:
    from repaudit.preprocessing import Preprocess

_FILTERS = {
    Interpolation.NEAREST: Image.Resampling.NEAREST,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.LANCZOS: Image.Resampling.LANCZOS,
    Interpolation.BOX: Image.Resampling.BOX,
    Interpolation.HAMMING: Image.Resampling.HAMMING,
}


def prepare(picture: Image.Image, preprocess: Preprocess) -> np.ndarray:
    """The pixels of one picture.

    Any mode becomes RGB (or L for a network of one channel) by PIL's `convert`, as torchvision's loader does:
    transparency is dropped, CMYK converted without a profile, 16-bit greys clipped at 255; EXIF orientation is
    not applied.

    Args:
        picture: of any mode and size.
        preprocess: geometry; `size` None leaves the size alone.

    Returns:
        (c, h, w) uint8 in 0..255, read-only, with PIL's strides.
    """
    if preprocess.channels == 1:
        return np.asarray(_fit(_in_mode(picture, "L"), preprocess, round(255 * preprocess.mean[0])))[None]
    fill = tuple(round(255 * colour) for colour in preprocess.mean)
    return np.asarray(_fit(_in_mode(picture, "RGB"), preprocess, fill)).transpose(2, 0, 1)


def prepare_float(image: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """The same geometry for an image of floats; what the filter overshoots is clipped.

    Args:
        image: (h, w, c) float32 in [0, 1], c being 1 or 3.
        preprocess: geometry and number of channels.

    Returns:
        (c, h, w) float32 in [0, 1].
    """
    planes = to_channels(image, preprocess.channels).transpose(2, 0, 1)
    fitted = [
        np.asarray(_fit(Image.fromarray(np.ascontiguousarray(plane)), preprocess, fill))
        for plane, fill in zip(planes, preprocess.mean, strict=True)
    ]
    return np.stack(fitted).clip(0, 1).astype(np.float32)


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Grey repeated to colour, or colour weighted to grey (ITU-R 601-2, as PIL's `L`); else the same array.

    Args:
        images: (..., 1) or (..., 3), uint8 or float32.
        channels: 1 or 3.

    Returns:
        (..., channels) of the same dtype.
    """
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    if images.dtype == np.uint8:
        shape = images.shape[:-1]
        tall = images.reshape(-1, shape[-1], 3)
        return np.asarray(Image.fromarray(tall).convert("L")).reshape(*shape, 1)
    grey: np.ndarray = images @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
    return grey.clip(0, 1)


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    # `convert` copies a picture that has the mode already.
    return picture if picture.mode == mode else picture.convert(mode)


def _fit(picture: Image.Image, preprocess: Preprocess, fill: float | tuple[int, ...]) -> Image.Image:
    if preprocess.size is None:
        return picture
    height, width = _resized(picture.height, picture.width, preprocess)
    resized = picture.resize((width, height), _FILTERS[preprocess.interpolation])
    return _cut(resized, preprocess.size, fill if preprocess.crop is Crop.BORDER else 0)


def _resized(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """(height, width) before the crop."""
    to_height, to_width = _scale(preprocess)
    if preprocess.crop is Crop.SQUASH:
        return to_height, to_width
    if preprocess.crop is Crop.CENTER and to_height == to_width:
        # torchvision truncates the longer side where timm's own code, below, rounds it.
        if width <= height:
            return int(to_height * height / width), to_height
        return to_height, int(to_height * width / height)
    choose = max if preprocess.crop is Crop.BORDER else min
    ratio = choose(height / to_height, width / to_width)
    return round(height / ratio), round(width / ratio)


def _scale(preprocess: Preprocess) -> tuple[int, int]:
    """(height, width) that the crop mode resizes towards; `resize` is the shorter of the two."""
    assert preprocess.size is not None
    height, width = preprocess.size
    if preprocess.resize is None:
        return height, width
    shorter = min(height, width)
    return floor(height * preprocess.resize / shorter), floor(width * preprocess.resize / shorter)


def _cut(picture: Image.Image, size: tuple[int, int], fill: float | tuple[int, ...]) -> Image.Image:
    height, width = size
    if picture.width < width or picture.height < height:
        canvas = Image.new(picture.mode, (max(width, picture.width), max(height, picture.height)), fill)
        canvas.paste(picture, (max(0, (width - picture.width) // 2), max(0, (height - picture.height) // 2)))
        picture = canvas
    top, left = round((picture.height - height) / 2), round((picture.width - width) / 2)
    return picture.crop((left, top, left + width, top + height))
