"""Wide residual networks: what adversarial training is reported on."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def wrn28_10(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """WRN-28-10 without dropout (Zagoruyko & Komodakis 2016); 640 features."""
    return WideResNet(num_classes, channels, depth=28, factor=10)


def wrn34_10(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """WRN-34-10 without dropout: the network of TRADES (Zhang et al. 2019); 640 features."""
    return WideResNet(num_classes, channels, depth=34, factor=10)


def wrn(num_classes: int = 10, channels: int = 3, depth: int = 16, factor: int = 4) -> nn.Module:
    """WRN-depth-factor without dropout, depth = 6 n + 4; 64·factor features.

    Raises:
        ValueError: no such depth.
    """
    return WideResNet(num_classes, channels, depth, factor)


class WideResNet(nn.Module):
    """Zagoruyko & Komodakis 2016, Table 1: three stages of (depth − 4) / 6 blocks, each normalised first."""

    def __init__(self, num_classes: int, channels: int, depth: int, factor: int) -> None:
        super().__init__()
        blocks, left = divmod(depth - 4, 6)
        if left or blocks < 1:
            raise ValueError(f"a wide residual network has 6 n + 4 layers, not {depth}")
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.layer1 = _stage(16, 16 * factor, blocks, 1)
        self.layer2 = _stage(16 * factor, 32 * factor, blocks, 2)
        self.layer3 = _stage(32 * factor, 64 * factor, blocks, 2)
        self.bn = nn.BatchNorm2d(64 * factor)
        self.linear = nn.Linear(64 * factor, num_classes)
        nn.init.zeros_(self.linear.bias)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, num_classes) logits of (b, channels, h, w) normalised images."""
        maps = self.layer3(self.layer2(self.layer1(self.conv1(images))))
        logits: torch.Tensor = self.linear(F.relu(self.bn(maps)).mean((2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else None

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        ready = F.relu(self.bn1(maps))
        inner: torch.Tensor = self.conv2(F.relu(self.bn2(self.conv1(ready))))
        # where widths differ the shortcut, too, begins after the normalisation
        return inner + (maps if self.shortcut is None else self.shortcut(ready))


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(before, after, stride), *(_Block(after, after, 1) for _ in range(blocks - 1)))
