"""Residual networks for images of 32 and 64 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable


def resnet18(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """The ResNet-18 of torchvision beginning with 3 × 3, stride 1 and no pooling; 512 features."""
    from torchvision import models

    return _small_stem(models.resnet18, num_classes, channels)


def resnet34(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """The ResNet-34 of torchvision beginning as `resnet18` does; 512 features."""
    from torchvision import models

    return _small_stem(models.resnet34, num_classes, channels)


def resnet50(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """The ResNet-50 of torchvision beginning as `resnet18` does; 2,048 features."""
    from torchvision import models

    return _small_stem(models.resnet50, num_classes, channels)


def resnext50(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """The ResNeXt-50 (32 × 4d) of torchvision beginning as `resnet18` does; 2,048 features."""
    from torchvision import models

    return _small_stem(models.resnext50_32x4d, num_classes, channels)


def resnet20(num_classes: int = 10, channels: int = 3, width: int = 16) -> nn.Module:
    """Three stages of three blocks, shortcuts without weights (He et al. 2016, §4.2, option A); 4·width features."""
    return CifarResNet(num_classes, channels, width, blocks=3)


def _small_stem(builder: Callable[..., nn.Module], num_classes: int, channels: int) -> nn.Module:
    network = builder(weights=None, num_classes=num_classes)
    network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


class CifarResNet(nn.Module):
    """He et al. 2016, §4.2: 6·blocks + 2 layers."""

    def __init__(self, num_classes: int, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks, 1)
        self.layer2 = _stage(width, 2 * width, blocks, 2)
        self.layer3 = _stage(2 * width, 4 * width, blocks, 2)
        self.linear = nn.Linear(4 * width, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, num_classes) logits of (b, channels, h, w) normalised images."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        logits: torch.Tensor = self.linear(maps.mean((2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, after - before

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps)))))
        if self.more or self.stride > 1:
            maps = F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(inner + maps)


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(before, after, stride), *(_Block(after, after, 1) for _ in range(blocks - 1)))
