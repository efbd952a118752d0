"""One affine map after another is one: batch normalisation folded into the convolution before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

if TYPE_CHECKING:
    from collections.abc import Callable


def fold(network: nn.Module, run: Callable[[], object]) -> int:
    """Folds each batch normalisation that is given a convolution's own output, and returns how many.

    Who else reads that output is not asked: then the network answers otherwise, and whoever folds must look.

    Args:
        network: whose convolutions get new weights, and whose normalisations are taken out.
        run: sends some images through it.
    """
    names = {module: name for name, module in network.named_modules()}
    pairs = _pairs(network, run)
    for convolution, normalisation in pairs:
        _absorb(convolution, normalisation)
        put(network, names[normalisation], _after(normalisation))
    return len(pairs)


def _pairs(network: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions and what normalises their output, each run exactly once; found by running the network."""
    made: list[tuple[torch.Tensor, int, nn.Conv2d]] = []
    met: list[tuple[nn.BatchNorm2d, nn.Conv2d | None]] = []

    def leaving(module: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made.append((output, output._version, module))

    def entering(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.BatchNorm2d):
            same = (by for output, version, by in made if output is inputs[0] and output._version == version)
            met.append((module, next(same, None)))

    watched = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [module.register_forward_hook(leaving) for module in watched]
    hooks += [module.register_forward_pre_hook(entering) for module in watched]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    convolutions, normalisations = [by for *_, by in made], [module for module, _ in met]
    return [
        (by, module)
        for module, by in met
        if by is not None
        and not is_parametrized(by)
        and convolutions.count(by) == normalisations.count(module) == 1
        and module.running_mean is not None
        and (type(module) is nn.BatchNorm2d or _activates(module))
    ]


def _activates(normalisation: nn.BatchNorm2d) -> bool:
    """It is one of timm's, which drop and activate as well."""
    return all(isinstance(getattr(normalisation, name, None), nn.Module) for name in ("drop", "act"))


def _after(normalisation: nn.BatchNorm2d) -> nn.Module:
    """What is left of a normalisation once it is folded."""
    if not _activates(normalisation):
        return nn.Identity()
    return nn.Sequential(normalisation.get_submodule("drop"), normalisation.get_submodule("act")).eval()


def _absorb(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> None:
    """γ (w∗x + b − μ)/√(σ² + ε) + β as one convolution, computed in float64 (Jacob et al. 2018, section 3.2)."""
    mean, variance = normalisation.running_mean, normalisation.running_var
    if mean is None or variance is None:
        raise ValueError("a normalisation by the batch's own statistics cannot be folded")
    factor = (variance.double() + normalisation.eps).rsqrt()
    if normalisation.weight is not None:
        factor = factor * normalisation.weight.double()
    bias = -mean.double() if convolution.bias is None else convolution.bias.double() - mean.double()
    bias = bias * factor
    if normalisation.bias is not None:
        bias = bias + normalisation.bias.double()
    weight = convolution.weight.double() * factor.reshape(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
    convolution.bias = nn.Parameter(bias.float(), requires_grad=False)


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Puts a module in the place of the one called `name`."""
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)
