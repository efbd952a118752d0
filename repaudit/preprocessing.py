"""How a stored picture becomes the pixels that a classifier takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Interpolation(StrEnum):
    """Resampling filters by their usual names."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"
    HAMMING = "hamming"


class Crop(StrEnum):
    """What happens to a picture that is not of the network's shape."""

    CENTER = "center"
    """Resize the shorter side to `resize`, cut `size` from the middle."""
    SQUASH = "squash"
    """Resize both sides to `resize`, whatever the proportions, cut `size` from the middle."""
    BORDER = "border"
    """Resize the longer side to `resize`, pad with the mean colour, cut `size` from the middle."""


class Layout(StrEnum):
    """Order of the axes that the network takes; images here are always channels first."""

    NCHW = "nchw"
    NHWC = "nhwc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """Normalisation (which lies inside the classifier) and geometry (which the data side applies)."""

    mean: tuple[float, ...]
    """Per channel, subtracted from pixels in [0, 1]."""
    std: tuple[float, ...]
    """Per channel, divided by."""
    size: tuple[int, int] | None = None
    """(height, width) that the network takes; None takes images as they are stored."""
    resize: int | None = None
    """Side to which a picture is resized before the crop; None resizes straight to `size`."""
    crop: Crop = Crop.CENTER
    interpolation: Interpolation = Interpolation.BICUBIC
    layout: Layout = Layout.NCHW
    source: str
    """Where these figures come from, such as `timm:resnet50.a1_in1k`."""

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return len(self.mean)

    def as_dict(self) -> Mapping[str, object]:
        """JSON values, for the report and for cache keys."""
        return asdict(self)
