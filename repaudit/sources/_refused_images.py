"""The message about images that a network does not take: what was fed, what the file declares, what would fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidModel
from repaudit.foreign import said
from repaudit.preprocessing import Layout

if TYPE_CHECKING:
    from repaudit.classifier import Classifier

GENERAL = "--preprocess FILE.yaml with the network's `size`, and one `mean` and `std` per channel it takes"


def refused_images(
    classifier: Classifier, ref: str, images: torch.Tensor, declared: tuple[int, int] | None, error: Exception
) -> InvalidModel:
    """What to tell where the first images that a network is asked about are refused.

    Args:
        classifier: that was asked, without a head.
        ref: how the user called it.
        images: (b, c, h, w) in [0, 1], as they were before their axes were ordered.
        declared: (height, width) by the file, where it says so.
        error: what the network raised.
    """
    rows, channels, height, width = images.shape
    layout = classifier.card.preprocess.layout
    fed = (rows, channels, height, width) if layout is Layout.NCHW else (rows, height, width, channels)
    wrong_size = declared is not None and declared != (height, width)
    remedy, told = GENERAL, [said(error)]
    if wrong_size and declared is not None:
        told.append(f"the file declares images of {declared[0]}×{declared[1]}")
        remedy = f"--preprocess FILE.yaml with size: [{declared[0]}, {declared[1]}]"
    elif (other := _fitting_layout(classifier, images)) is not None:
        place = "last" if other is Layout.NHWC else "first"
        told.append(f"it takes images of {height}×{width} whose channels come {place}")
        remedy = f"--preprocess FILE.yaml with layout: {other.value}"
    return InvalidModel(f"`{ref}` cannot take images of shape {fed}", detail="\n".join(told), remedy=remedy)


def _fitting_layout(classifier: Classifier, images: torch.Tensor) -> Layout | None:
    """The other order of axes, where the network answers it with a row an image."""
    preprocess = classifier.card.preprocess
    other = Layout.NCHW if preprocess.layout is Layout.NHWC else Layout.NHWC
    kept = classifier.card
    classifier.card = replace(kept, preprocess=replace(preprocess, layout=other))
    try:
        with torch.inference_mode(), torch.autocast(classifier.device.type, enabled=False):
            answered = classifier.logits(images.to(classifier.device))
    except Exception:  # whatever a network raises on images of the wrong shape
        return None
    finally:
        classifier.card = kept
    return other if answered.dim() == 2 and len(answered) == len(images) else None
