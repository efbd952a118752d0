"""ResNeXt for images of 32 pixels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def resnext29(num_classes: int = 10, channels: int = 3, cardinality: int = 2, width: int = 64) -> nn.Module:
    """ResNeXt-29, cardinality × width d: three stages of three blocks (Xie et al. 2017, §5.3); 1,024 features."""
    return ResNeXt(num_classes, channels, cardinality, width)


class ResNeXt(nn.Module):
    """Xie et al. 2017, §5.3: stages of 256, 512 and 1,024 maps, grouped 3 × 3 convolutions between 1 × 1 ones."""

    def __init__(self, num_classes: int, channels: int, cardinality: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 256, cardinality * width, cardinality, 1)
        self.layer2 = _stage(256, 512, 2 * cardinality * width, cardinality, 2)
        self.layer3 = _stage(512, 1024, 4 * cardinality * width, cardinality, 2)
        self.linear = nn.Linear(1024, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, num_classes) logits of (b, channels, h, w) normalised images."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        logits: torch.Tensor = self.linear(maps.mean((2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, before: int, after: int, inner: int, groups: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.shortcut(maps))


def _stage(before: int, after: int, inner: int, groups: int, stride: int) -> nn.Sequential:
    first = _Block(before, after, inner, groups, stride)
    return nn.Sequential(first, *(_Block(after, after, inner, groups, 1) for _ in range(2)))
