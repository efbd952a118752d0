"""The network while it learns: pixels in, logits of all nodes out."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from repaudit.train.targets import Labelling


class Normalised(nn.Module):
    """A network behind its normalisation, so that attacks and crops see pixels in [0, 1]."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(b, nodes) logits of (b, c, h, w) pixels."""
        logits: torch.Tensor = self.network((pixels - self.mean) / self.std)
        return logits


class Trainee:
    """What objectives may use of the network that is trained."""

    def __init__(
        self, network: Normalised, labelling: Labelling, *, wrapped: nn.Module | None = None, dtype: torch.dtype
    ) -> None:
        self.network = network
        """The network itself: for attacks, teachers and evaluation."""
        self.labelling = labelling
        self._wrapped = wrapped or network
        self._dtype = dtype
        self.device = next(network.parameters()).device

    def learn(self, pixels: torch.Tensor) -> torch.Tensor:
        """(b, nodes) logits of the pass whose gradients are kept, in training mode; once a step."""
        with self._precision():
            logits: torch.Tensor = self._wrapped(pixels)
        return logits

    def answer(self, pixels: torch.Tensor) -> torch.Tensor:
        """(b, nodes) logits outside of that pass: nothing is exchanged between processes."""
        with self._precision():
            logits: torch.Tensor = self.network(pixels)
        return logits

    @contextmanager
    def attacked(self) -> Iterator[None]:
        """Within it the network is in evaluation mode and only pixels take gradients."""
        modes = [(module, module.training) for module in self.network.modules()]
        asked = [parameter.requires_grad for parameter in self.network.parameters()]
        self.network.eval().requires_grad_(False)
        try:
            yield
        finally:
            for module, training in modes:  # one by one: part of a network may be kept in evaluation mode
                module.training = training
            for parameter, wanted in zip(self.network.parameters(), asked, strict=True):
                parameter.requires_grad_(wanted)

    def _precision(self) -> AbstractContextManager[object]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._dtype)
