"""Adversarial weight perturbation: TRADES at the worst weights nearby (Wu et al. 2020)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from repaudit.train.objectives._contract import Kind
from repaudit.train.objectives._trades import Trades, TradesOptions, trades_loss
from repaudit.train.widen import WideHead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from repaudit.train.objectives._contract import Minimised, Step, Surroundings
    from repaudit.train.objectives._trades import Pairs
    from repaudit.train.trainee import Trainee

GUARD = 1e-20
"""Least length of a gradient that is divided by, as in the published code."""


class PerturbationOptions(TradesOptions):
    """As its authors perturb TRADES."""

    gamma: float = Field(default=0.005, ge=0)
    """Length of a perturbation, as a share of its weight tensor's norm."""
    warmup: int = Field(default=10, ge=0)
    """Epochs of TRADES before weights are perturbed."""


class WeightPerturbation(Trades):
    """Gradients of the TRADES loss at w + v, with v = γ ‖w‖ g / ‖g‖ tensor by tensor and g its gradient at w.

    The optimiser steps from w + v, and v is taken away afterwards. Vectors (biases, batch normalisation) are left
    alone, and so are running statistics: the pass that finds g puts them back.
    """

    def __init__(self, options: PerturbationOptions, surroundings: Surroundings) -> None:
        super().__init__(options, surroundings)
        self._gamma, self._warmup, self._ranks = options.gamma, options.warmup, surroundings.ranks
        self._moved: list[tuple[torch.Tensor, torch.Tensor]] = []

    def backward(self, step: Step, trainee: Trainee) -> Minimised:
        """A search for images, one pass for the perturbation, one at the perturbed weights."""
        pairs = self._pairs(step, trainee)
        if step.epoch >= self._warmup:
            self._perturb(pairs, trainee)
        return self._learn(pairs, trainee)

    def after(self, trainee: Trainee) -> None:
        """Takes the perturbation away from the weights that the optimiser moved."""
        with torch.no_grad():
            for weight, shift in self._moved:
                weight.sub_(shift)
        self._moved = []

    def _perturb(self, pairs: Pairs, trainee: Trainee) -> None:
        tensors = _weights(trainee.network)
        flat = [weight for tensor in tensors for weight in tensor]
        with _kept_buffers(trainee.network):
            loss = trades_loss(trainee.answer(pairs.images), pairs.targets, self._beta)
            found = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
        gradients = iter(found)
        with torch.no_grad():
            for tensor in tensors:
                # of all processes: the network must be perturbed alike in each
                uphill = [self._ranks.total(next(gradients)) / self._ranks.world for _ in tensor]
                scale = self._gamma * _norm(tensor) / _norm(uphill).clamp(min=GUARD)
                for weight, direction in zip(tensor, uphill, strict=True):
                    shift = scale * direction
                    weight.add_(shift)
                    self._moved.append((weight, shift))


def _weights(network: nn.Module) -> list[list[torch.Tensor]]:
    """What is perturbed as one: each matrix or kernel, and of a widened head both parts of its matrix together."""
    weights: list[torch.Tensor] = [
        weight
        for name, weight in network.named_parameters()
        if "weight" in name.rpartition(".")[2] and weight.ndim > 1 and weight.requires_grad
    ]
    heads = [module for module in network.modules() if isinstance(module, WideHead)]
    joined: list[list[torch.Tensor]] = [[head.real.weight, head.virtual.weight] for head in heads]
    within = {id(weight) for tensor in joined for weight in tensor}
    return [[weight] for weight in weights if id(weight) not in within] + joined


def _norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """() Euclidean, of all together."""
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in tensors]))
    return norm


@contextmanager
def _kept_buffers(network: nn.Module) -> Iterator[None]:
    """Puts running statistics back as they were."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)


kind = Kind(
    summary="AWP: TRADES at the worst weights nearby (Wu et al. 2020)",
    options=PerturbationOptions,
    build=WeightPerturbation,
)
