"""Virtual classes: rows beside those of the real ones, in a layer of their own that can be taken away."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.train.streams import Purpose, torch_generator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REAL, _VIRTUAL = "real", "virtual"


class WideHead(nn.Module):
    """K real and V virtual logits, [real(f), virtual(f)].

    Two layers rather than one of K + V rows: what is exported is the real layer itself, and its logits are the wide
    network's first K to the last bit.
    """

    def __init__(self, real: nn.Linear | nn.Conv2d, virtual: int, generator: torch.Generator) -> None:
        super().__init__()
        self.real = real
        self.virtual = _like(real, virtual)
        width = real.weight[0].numel()
        # as torch initialises every layer of that width (He et al. 2015 with a = √5)
        for parameter in self.virtual.parameters():
            bound = 1 / sqrt(width)
            with torch.no_grad():
                parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(…, K + V); for a convolution (b, K + V, h, w)."""
        axis = 1 if isinstance(self.real, nn.Conv2d) else -1
        return torch.cat([self.real(features), self.virtual(features)], dim=axis)


def widen(network: nn.Module, heads: Sequence[str], virtual: int, seed: int) -> None:
    """Gives every head of a network its virtual rows; real rows stay as they are.

    Args:
        network: changed in place.
        heads: names of the layers that make the logits, as a head card has them.
        virtual: V ≥ 1.
        seed: of the run; virtual rows have a stream of their own.

    Raises:
        TypeError: a head is neither linear nor a convolution.
    """
    for number, name in enumerate(heads):
        layer = network.get_submodule(name)
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise TypeError(f"`{name}` is a {type(layer).__name__}; virtual classes need a linear layer")
        network.set_submodule(name, WideHead(layer, virtual, torch_generator(seed, Purpose.VIRTUAL_WEIGHTS, number)))


def split(
    state: Mapping[str, torch.Tensor], heads: Sequence[str]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of a widened network as those of the ordinary one, and the virtual rows.

    Args:
        state: of the network after `widen`.
        heads: as given to `widen`.

    Returns:
        (the K-class network's state by its own names, virtual rows by the names that the real ones have).
    """
    ordinary: dict[str, torch.Tensor] = {}
    virtual: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        place, _, leaf = name.rpartition(".")
        head, _, part = place.rpartition(".")
        if part in (_REAL, _VIRTUAL) and head in heads:
            (ordinary if part == _REAL else virtual)[f"{head}.{leaf}"] = tensor
        else:
            ordinary[name] = tensor
    return ordinary, virtual


def joined(
    ordinary: Mapping[str, torch.Tensor], virtual: Mapping[str, torch.Tensor], heads: Sequence[str]
) -> dict[str, torch.Tensor]:
    """What `split` took apart, as the widened network has it."""
    state: dict[str, torch.Tensor] = {}
    for part, tensors in ((_REAL, ordinary), (_VIRTUAL, virtual)):
        for name, tensor in tensors.items():
            head, _, leaf = name.rpartition(".")
            state[f"{head}.{part}.{leaf}" if head in heads else name] = tensor
    return state


def _like(real: nn.Linear | nn.Conv2d, rows: int) -> nn.Linear | nn.Conv2d:
    """Without values: a constructor would draw them from the global generator."""
    biased = real.bias is not None
    with torch.device("meta"):
        empty: nn.Linear | nn.Conv2d = (
            nn.Conv2d(real.in_channels, rows, 1, bias=biased)
            if isinstance(real, nn.Conv2d)
            else nn.Linear(real.in_features, rows, bias=biased)
        )
    return empty.to_empty(device=real.weight.device).to(real.weight.dtype)
