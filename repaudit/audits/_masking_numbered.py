"""One network with a binary classifier for each image, which an attack can search like any other network.

A call of the network mixes images, so every image carries its number along: as zeros and ones in a channel of
its own, where no change smaller than one half can make it another. The network reads it there and answers by that
image's readout; nothing else depends on the channel, and its gradient is zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from repaudit.classifier import Classifier
from repaudit.images import Batch, ImageSet
from repaudit.preprocessing import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.audits._masking_readout import Readout

INSIDE, PLANTED = 0, 1
"""The two classes; images are of the first."""


class Numbered(ImageSet):
    """Images with their number in a further channel, all of class `INSIDE`."""

    ref = layout = label_source = "planted adversarials"
    fingerprint = subset = ""
    class_names = None
    bad_images = ()

    def __init__(self, images: ImageSet, ids: Sequence[str]) -> None:
        self._images = images
        self.ids = tuple(ids)
        self.labels = np.full(len(self.ids), INSIDE, dtype=np.int64)
        self._number = {name: number for number, name in enumerate(self.ids)}

    def batches(self, rows: int, ids: Sequence[str] | None = None) -> Iterator[Batch]:
        """As the images themselves, float32 in [0, 1] with one channel more."""
        for batch in self._images.batches(rows, self.ids if ids is None else ids):
            numbers = torch.tensor([self._number[name] for name in batch.ids])
            pixels = batch.images
            places = torch.arange(pixels.shape[2] * pixels.shape[3]).clamp(max=62)
            digits = (numbers[:, None] >> places) & 1
            channel = digits.to(pixels).reshape(len(pixels), 1, *pixels.shape[2:])
            yield Batch(torch.cat([pixels, channel], dim=1), torch.full_like(batch.labels, INSIDE), batch.ids)


def fits(count: int, pixels: int) -> bool:
    """So many images can be numbered in a channel of so many pixels."""
    return count <= 1 << min(pixels, 62)


def binary_classifier(classifier: Classifier, readouts: Sequence[Readout]) -> Classifier:
    """The classifier's features under one readout an image, for images of `Numbered` in the same order.

    Args:
        classifier: with a linear head; its count of forward rows includes those of the result.
        readouts: of each image, by its number.
    """
    card = classifier.card
    channels = card.preprocess.channels + 1
    as_it_is = replace(
        card.preprocess, mean=(0.0,) * channels, std=(1.0,) * channels, layout=Layout.NCHW, source="planted"
    )
    return Classifier(
        network=_Readouts(classifier, readouts),
        card=replace(card, preprocess=as_it_is, classes_count=2, class_ids=None),
        split=None,
        device=classifier.device,
        capabilities=classifier.capabilities,
    )


class _Readouts(nn.Module):
    """(b, c + 1, h, w) numbered pixels to (b, 2) logits."""

    centre: torch.Tensor
    direction: torch.Tensor
    offset: torch.Tensor

    def __init__(self, classifier: Classifier, readouts: Sequence[Readout]) -> None:
        super().__init__()
        self.network = classifier.network
        self._classifier = classifier
        self._digits = max(1, (len(readouts) - 1).bit_length())
        self.register_buffer("centre", torch.from_numpy(np.stack([readout.centre for readout in readouts])))
        self.register_buffer("direction", torch.from_numpy(np.stack([readout.direction for readout in readouts])))
        self.register_buffer("offset", torch.tensor([readout.offset for readout in readouts], dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Half the score for `PLANTED`, and its negative for `INSIDE`."""
        digits = (images[:, -1].flatten(1)[:, : self._digits] > 0.5).long()
        number = (digits << torch.arange(self._digits, device=digits.device)).sum(dim=1)
        # an empty place of a padded call may hold anything
        number = number.clamp(max=len(self.offset) - 1)
        features = self._classifier.features(images[:, :-1])
        score = ((features - self.centre[number]) * self.direction[number]).sum(dim=1) - self.offset[number]
        return torch.stack([-score, score], dim=1) / 2
