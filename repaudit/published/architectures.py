"""Which printed networks a network of timm or torchvision is."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "ResNet50": re.compile(r"resnet50"),
        "Swin-T": re.compile(r"swint(?:iny)?(?:patch4window7)?(?:224)?"),
        "MobileNetV2": re.compile(r"mobilenetv2(?:100)?"),
        "ConvNeXt-T": re.compile(r"convnextt(?:iny)?"),
        "ViT-B-16": re.compile(r"vitb(?:ase)?(?:patch)?16(?:224)?"),
        "ViT-B/16": re.compile(r"vitb(?:ase)?(?:patch)?16(?:224)?"),
        "EfficientNet-B1": re.compile(r"efficientnetb1"),
        "ResNet-18": re.compile(r"resnet18"),
        "ResNeXt": re.compile(r"resnext29.*"),
        "ResNeXt-50": re.compile(r"resnext50(?:32x4d)?"),
        "T2T-ViT-14": re.compile(r"t2tvit14"),
        "T2T-ViT-24": re.compile(r"t2tvit24"),
    }
)
"""Names of timm and torchvision without punctuation, by the name that a paper prints."""


def is_same_architecture(printed: str, architecture: str) -> bool:
    """Whether a paper's network is the architecture that a report names, such as `swin_tiny_patch4_window7_224`.

    Variants such as `resnet50d` are other architectures.
    """
    pattern = _NAMES.get(printed)
    plain = re.sub(r"[^a-z0-9]", "", architecture.partition(".")[0].lower())
    return pattern is not None and pattern.fullmatch(plain) is not None
