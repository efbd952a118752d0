"""MobileNetV2 for images of 32 pixels."""

from __future__ import annotations

from torch import nn

_SETTING = [
    # expansion, maps, blocks, stride (Sandler et al. 2018, Table 2; the first two halvings are left out)
    [1, 16, 1, 1],
    [6, 24, 2, 1],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]


def mobilenetv2(num_classes: int = 10, channels: int = 3, dropout: float = 0.0) -> nn.Module:
    """The MobileNetV2 of torchvision with three halvings instead of five, and no dropout; 1,280 features."""
    from torchvision.models import mobilenet_v2

    network: nn.Module = mobilenet_v2(
        weights=None, num_classes=num_classes, inverted_residual_setting=_SETTING, dropout=dropout
    )
    first = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(first.weight, mode="fan_out")
    network.set_submodule("features.0.0", first)
    return network
