"""Convolutions one after the other: small enough for a processor."""

from __future__ import annotations

from torch import nn


def conv4(num_classes: int = 10, channels: int = 1, width: int = 16) -> nn.Sequential:
    """Four 3 × 3 convolutions, one halving, an average: for images of about 8 pixels; 2·width features."""
    return nn.Sequential(
        *_block(channels, width),
        *_block(width, width),
        nn.MaxPool2d(2),
        *_block(width, 2 * width),
        *_block(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, num_classes),
    )


def conv5(num_classes: int = 10, channels: int = 1, width: int = 16) -> nn.Sequential:
    """Five 3 × 3 convolutions, two halvings, an average: for images of 14 to 32 pixels; 4·width features."""
    return nn.Sequential(
        *_block(channels, width),
        *_block(width, width),
        nn.MaxPool2d(2),
        *_block(width, 2 * width),
        *_block(2 * width, 2 * width),
        nn.MaxPool2d(2),
        *_block(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )


def _block(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
