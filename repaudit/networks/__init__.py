"""Networks that baselines are trained with where timm and torchvision have none: for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.networks.mobile import mobilenetv2
from repaudit.networks.plain import conv4, conv5
from repaudit.networks.residual import resnet18, resnet20, resnet34, resnet50, resnext50
from repaudit.networks.resnext import resnext29
from repaudit.networks.wide import wrn, wrn28_10, wrn34_10

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

BUILDERS: Mapping[str, Callable[..., nn.Module]] = {
    "conv4": conv4,
    "conv5": conv5,
    "mobilenetv2": mobilenetv2,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnext29": resnext29,
    "resnext50": resnext50,
    "wrn": wrn,
    "wrn28_10": wrn28_10,
    "wrn34_10": wrn34_10,
}
"""By the name that follows `baseline:`; each takes `num_classes` and `channels`."""
