"""The images on which a network is proved when it is loaded, and what is asked of it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from repaudit.classifier import Work
from repaudit.numerics import row_errors

if TYPE_CHECKING:
    from repaudit.classifier import Classifier

PROOF_ROWS = 4


def proof_batch(channels: int, size: tuple[int, int], index: int) -> torch.Tensor:
    """(4, channels, h, w) in [0, 1]: noise, soft blobs, black and white, always the same for one index."""
    generator = torch.Generator().manual_seed(index)
    noise = torch.rand(1, channels, *size, generator=generator)
    blobs = F.interpolate(torch.rand(1, channels, 4, 4, generator=generator), size, mode="bilinear")
    flat = torch.stack([torch.zeros(channels, *size), torch.ones(channels, *size)])
    return torch.cat([noise, blobs, flat])


def asked(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
    """(b, c) logits, autocast off."""
    with torch.inference_mode(), torch.autocast(classifier.device.type, enabled=False):
        return classifier.logits(images)


def prove_at_another_size(classifier: Classifier, size: tuple[int, int]) -> None:
    """Takes the head away that does not hold on images of twice the size, where the network takes them.

    Of one position, whatever a network makes of several looks like their average.
    """
    larger = (2 * size[0], 2 * size[1])
    images = proof_batch(classifier.card.preprocess.channels, larger, 0).to(classifier.device)
    try:
        with torch.inference_mode(), torch.autocast(classifier.device.type, enabled=False):
            output = classifier.forward(images)
    except Exception:  # a network's way to say that it takes no other size
        return
    finally:
        classifier.work = Work()  # of loading, which nobody counts
    if output.features is None or output.logits.shape[1:] != (classifier.card.classes_count,):
        return
    error = float(row_errors(classifier.head(output.features), output.logits).max())
    if error > classifier.card.head.tolerance:
        name, known, other = classifier.card.head.modules[0], *(f"{height}×{width}" for height, width in (size, larger))
        classifier.lose_head(
            f"the logits are not affine in the input of `{name}` on {other} images, though they are on {known}: "
            f"they differ by {error:.2g} times their spread"
        )
