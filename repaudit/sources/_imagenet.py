"""Class names of ImageNet-1k models."""

from __future__ import annotations


def imagenet_wnids() -> tuple[str, ...]:
    """The 1000 WordNet ids in class order (sorted), as every ImageNet-1k checkpoint has them."""
    from timm.data.imagenet_info import ImageNetInfo

    names: list[str] = ImageNetInfo("imagenet-1k").label_names()  # type: ignore[no-untyped-call]
    return tuple(names)
