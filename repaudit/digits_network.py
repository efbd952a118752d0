"""The small network behind `repaudit demo`: 19,274 weights for 8 × 8 handwritten digits."""

from __future__ import annotations

from torch import nn

CLASSES = 10


def digits_network() -> nn.Sequential:
    """Three convolutions, a 2 × 2 average, one linear head; grey 8 × 8 images in, ten logits out."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, CLASSES),
    )
