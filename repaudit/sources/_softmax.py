"""Networks that answer with probabilities: attacks and calibration need the scores before the softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


SEEN = 5.0
"""Logarithm of how much rarer than the surest class one may be whose probability is compared."""
ALIKE, ROUNDED = 1e-2, 2e-3
"""Share of the spread of logits, and amount, by which logarithms of probabilities may differ: of half precision."""


class LogProbabilities(nn.Module):
    """Takes the logarithm of a network's probabilities; they differ from logits by one constant per image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, c) log-probabilities; a probability below the smallest normal float counts as that."""
        probabilities: torch.Tensor = self.network(images)
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A network that answers with logits, and how that came about."""

    network: nn.Module
    note: str | None


def looks_like_probabilities(outputs: torch.Tensor) -> bool:
    """Whether every row is non-negative and sums to one."""
    return bool((outputs >= 0).all()) and float((outputs.sum(1) - 1).abs().max()) < 1e-3


def looks_like_log_probabilities(outputs: torch.Tensor) -> bool:
    """Whether the exponentials of every row sum to one."""
    return float(outputs.double().logsumexp(1).abs().max()) < 1e-3


def is_softmax_of(answers: torch.Tensor, logits: torch.Tensor) -> bool:
    """Whether a program's own answers are the softmax, or the log-softmax, of what was cut out of it.

    Args:
        answers: (b, c, …) with c numbers an image.
        logits: (b, c).
    """
    if answers.numel() != logits.numel() or logits.dim() != 2:
        return False
    own = answers.reshape(logits.shape).double()
    if not bool((own < 0).any()):
        own = own.log()
    made = logits.double().log_softmax(1)
    seen = own > own.amax(1, keepdim=True) - SEEN  # rare classes underflow in half precision
    spread = (logits.amax(1) - logits.amin(1)).double().unsqueeze(1)
    return bool(((own - made).abs() <= ALIKE * spread + ROUNDED)[seen].all()) and bool(own.isfinite().any())


def uncover_logits(network: nn.Module, outputs: torch.Tensor, run: Callable[[], torch.Tensor]) -> Uncovered:
    """Bypasses a closing softmax layer, or takes the logarithm where the softmax is no layer.

    A closing log-softmax layer is bypassed too, so that its linear head can be found.

    Args:
        network: whose outputs are in question.
        outputs: (b, c), what it answers to one batch.
        run: passes the same batch through it again.
    """
    probabilities = looks_like_probabilities(outputs)
    if not probabilities and not looks_like_log_probabilities(outputs):
        return Uncovered(network, None)
    ran: list[nn.Module] = []
    last: list[torch.Tensor] = []

    def remember(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        ran.append(layer)
        last[:] = [output]

    layers: dict[nn.Module, str] = {
        layer: name for name, layer in network.named_modules() if isinstance(layer, nn.Softmax | nn.LogSoftmax)
    }
    hooks = [layer.register_forward_hook(remember) for layer in layers]
    run()
    for hook in hooks:
        hook.remove()
    if ran and ran.count(ran[-1]) == 1 and torch.equal(last[0], outputs):
        ran[-1].register_forward_hook(lambda _, inputs, __: inputs[0])
        kind, name = type(ran[-1]).__name__, layers[ran[-1]]
        return Uncovered(network, f"the closing {kind} `{name}` is bypassed: its inputs are the logits")
    if probabilities:
        note = "warning: the network answers with probabilities; their logarithm is used, which attacks saturate on"
        return Uncovered(LogProbabilities(network), note)
    return Uncovered(network, None)
