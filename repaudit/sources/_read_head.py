"""A head that was read from a program's graph rather than from its modules, and its proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.classifier import HeadCard
from repaudit.numerics import row_errors
from repaudit.sources._head import TOLERANCE, FoundHead

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


class ReadHead:
    """`repaudit.classifier.Head` of a program that answers with its logits and with what goes into its last layer."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, take: Callable[[], torch.Tensor]) -> None:
        """(c, d), (c,), and what returns the features of the latest forward pass once."""
        self.weight, self.bias = weight, bias
        self._take = take

    def collect(self) -> torch.Tensor:
        """(b, d): the features of the forward pass that just ran; may be taken once."""
        return self._take()


def prove(
    head: ReadHead,
    kind: str,
    name: str,
    logits_of: Callable[[int], torch.Tensor],
    tolerance: float = TOLERANCE,
) -> FoundHead:
    """The head, if it reproduces the logits of images that it has not seen; else the reason why it is none.

    Args:
        head: as it was read.
        kind: as a head card calls it.
        name: of its layer in the graph.
        logits_of: runs the program on the k-th proof batch and returns (b, c) logits.
        tolerance: of the relative error; wider where the program computes in half precision.
    """
    logits = logits_of(0).double()
    answer = head.collect().double() @ head.weight.double().T + head.bias.double()
    error = float(row_errors(answer, logits).max()) if answer.shape == logits.shape else float("inf")
    if error > tolerance:
        return no_head(f"`{name}` does not explain the logits: they differ by {error:.2g} times their spread")
    width = head.weight.shape[1]
    card = HeadCard(kind=kind, modules=(name,), feature_width=width, proof_error=error, tolerance=tolerance)
    return FoundHead(head, card)


def no_head(reason: str | None) -> FoundHead:
    """The answer where no linear layer explains the logits."""
    return FoundHead(None, HeadCard(kind="none", reason=reason))
