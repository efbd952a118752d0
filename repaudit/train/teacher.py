"""A frozen network that answers pixels: what distillation learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.sources import load_model

if TYPE_CHECKING:
    from repaudit.classifier import Classifier


class Teacher(nn.Module):
    """A classifier as a module; in evaluation mode for ever."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self._classifier = classifier

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(b, c) logits of (b, c, h, w) pixels in [0, 1]."""
        return self._classifier.logits(pixels)


def load_teacher(reference: str, device: torch.device) -> Teacher:
    """The network of a model reference.

    Raises:
        InvalidModel: it cannot be loaded.
    """
    return Teacher(load_model(reference, device=device))
