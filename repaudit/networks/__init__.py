"""Networks that baselines are trained with where timm and torchvision have none: for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.networks.plain import conv4, conv5
from repaudit.networks.residual import resnet18, resnet20

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

BUILDERS: Mapping[str, Callable[..., nn.Module]] = {
    "conv4": conv4,
    "conv5": conv5,
    "resnet18": resnet18,
    "resnet20": resnet20,
}
"""By the name that follows `baseline:`; each takes `num_classes` and `channels`."""
