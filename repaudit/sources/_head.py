"""Finding the affine last step of a network and proving it: names are never trusted.

The feature is the input of the last linear layer in eval mode. A network is split only if
`features @ weight.T + bias` reproduces its logits on images it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.classifier import HEAD_TOLERANCE, HeadCard
from repaudit.numerics import row_errors
from repaudit.sources._softmax import looks_like_log_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repaudit.classifier import Head

TOLERANCE = HEAD_TOLERANCE
_SNAP = 1e-3
"""A fitted share this close to 1/m is 1/m; a smaller one is 0."""


class Tap:
    """Keeps the input of one layer from the latest forward pass."""

    def __init__(self, name: str, layer: nn.Linear | nn.Conv2d) -> None:
        self.name = name
        self.layer = layer
        self.calls = 0
        self.first_only = False
        """Of a sequence of positions the network keeps the first one; else all, averaged."""
        self._input: torch.Tensor | None = None
        self._hook = layer.register_forward_pre_hook(self._keep)

    def take(self) -> torch.Tensor:
        """(b, d) float: the layer's input at the position that counts, or all averaged: a linear layer commutes."""
        if self._input is None:
            raise RuntimeError(f"`{self.name}` has not run since its input was last taken")
        kept, self._input = self._input, None
        if isinstance(self.layer, nn.Conv2d):
            return kept.flatten(2).mean(2)
        if kept.dim() == 2:
            return kept
        positions = kept.flatten(1, -2)
        return positions[:, 0] if self.first_only else positions.mean(1)

    def has_positions(self) -> bool:
        """Whether its latest input was a sequence."""
        return self._input is not None and self._input.dim() > 2 and isinstance(self.layer, nn.Linear)

    def look(self) -> torch.Tensor:
        """As `take`, and it can be taken again."""
        kept = self._input
        features = self.take()
        self._input = kept
        return features

    def forget(self) -> None:
        """As if the layer had not run yet."""
        self.calls, self._input = 0, None

    def remove(self) -> None:
        """Leaves the layer as it was."""
        self._hook.remove()

    @property
    def kind(self) -> str:
        """As a head card calls it."""
        return "1x1 convolution" if isinstance(self.layer, nn.Conv2d) else "linear"

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(c, d) weight and (c,) bias in float32."""
        weight = self.layer.weight.detach().flatten(1).float()
        bias = self.layer.bias
        return weight, weight.new_zeros(len(weight)) if bias is None else bias.detach().float()

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.calls += 1
        self._input = inputs[0] if inputs else None


class AffineHead:
    """`repaudit.classifier.Head`: one linear layer, or several whose outputs are averaged."""

    def __init__(self, taps: Sequence[Tap], shares: Sequence[float]) -> None:
        parts = [tap.affine() for tap in taps]
        self.weight = torch.cat([share * weight for share, (weight, _) in zip(shares, parts, strict=True)], dim=1)
        self.bias = torch.stack([share * bias for share, (_, bias) in zip(shares, parts, strict=True)]).sum(0)
        self._taps = tuple(taps)

    def collect(self) -> torch.Tensor:
        """(b, d): the features of the forward pass that just ran; may be taken once."""
        features = [tap.take() for tap in self._taps]
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


@dataclass(frozen=True, slots=True)
class FoundHead:
    """A proved head, or the reason why there is none."""

    head: Head | None
    card: HeadCard


class Listening:
    """Taps on the layers that may be the head, placed before it is known how many classes there are.

    So the pass that tells the classes also proves the head: on large networks a pass is what loading costs.
    """

    def __init__(self, network: nn.Module) -> None:
        """Guesses the classes: as many as the last linear layer has outputs."""
        widths = [width for layer in network.modules() if (width := classes_of(layer)) is not None]
        self._network, self._classes = network, widths[-1] if widths else None
        self._taps = [] if self._classes is None else _taps(network, self._classes)

    def forget(self) -> None:
        """Another pass is about to begin, and only that one counts."""
        for tap in self._taps:
            tap.forget()

    def taps(self, network: nn.Module, classes: int) -> list[Tap] | None:
        """The taps, which have heard the latest pass, if the guess was right; None, and all removed, if not."""
        if network is self._network and classes == self._classes:
            return self._taps
        for tap in self._taps:
            tap.remove()
        return None


def find_head(
    network: nn.Module, classes: int, logits_of: Callable[[int], torch.Tensor], heard: list[Tap] | None = None
) -> FoundHead:
    """Looks for linear layers whose inputs explain the logits, and proves it.

    Shares of several heads are fitted on the first batch and proved on the second, so that learned
    mixing weights are found as well as plain averages.

    Args:
        network: in eval mode.
        classes: width of its logits.
        logits_of: runs the network on the k-th proof batch and returns (b, c) logits.
        heard: taps on all candidates that have heard a pass on batch 0, whose logits `logits_of` then need not run for.
    """
    taps = _taps(network, classes) if heard is None else heard
    found: FoundHead | None = None
    try:
        logits = logits_of(0).double()
        ran = [tap for tap in taps if tap.calls == 1]
        if not ran:
            return _none(_absence(taps, classes))
        answers = [_answer(tap, logits) for tap in ran]
        found = _one(ran, answers, logits) or _several(ran, answers, logits, logits_of)
        return found or _none(_failure(ran, answers, logits))
    finally:
        kept = found.card.modules if found else ()
        for tap in taps:
            if tap.name not in kept:
                tap.remove()


def _taps(network: nn.Module, classes: int) -> list[Tap]:
    return [
        Tap(name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and classes_of(layer) == classes
    ]


def classes_of(layer: nn.Module) -> int | None:
    """How many classes a layer would tell apart if it were the head; None where it cannot be one."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1 or layer.padding not in ((0, 0), 0, "valid", "same"):
        return None
    return layer.out_channels if layer.kernel_size == layer.stride == (1, 1) else None


def _answer(tap: Tap, logits: torch.Tensor) -> torch.Tensor | None:
    """The logits that this layer alone would give, in float64; None where shapes do not match."""
    weight, bias = tap.affine()

    def alone(*, first_only: bool) -> torch.Tensor:
        tap.first_only = first_only
        return tap.look().double() @ weight.double().T + bias.double()

    answer = alone(first_only=False)
    if answer.shape != logits.shape:
        return None
    if tap.has_positions() and _error(answer, logits) > TOLERANCE:
        first = alone(first_only=True)
        if _error(first, logits) <= TOLERANCE:
            return first
        tap.first_only = False
    return answer


def _one(ran: Sequence[Tap], answers: Sequence[torch.Tensor | None], logits: torch.Tensor) -> FoundHead | None:
    for tap, answer in reversed(list(zip(ran, answers, strict=True))):
        if answer is not None and (error := _error(answer, logits)) <= TOLERANCE:
            return _found([tap], [1.0], error)
    return None


def _several(
    ran: Sequence[Tap],
    answers: Sequence[torch.Tensor | None],
    logits: torch.Tensor,
    logits_of: Callable[[int], torch.Tensor],
) -> FoundHead | None:
    pairs = [(tap, answer) for tap, answer in zip(ran, answers, strict=True) if answer is not None]
    if not pairs:
        return None
    columns = torch.stack([answer.flatten() for _, answer in pairs], dim=1).cpu()
    fitted = torch.linalg.lstsq(columns, logits.cpu().flatten()[:, None], driver="gelsd").solution.flatten()
    taps = [tap for (tap, _), share in zip(pairs, fitted, strict=True) if abs(share) > _SNAP]
    shares = [float(share) for share in fitted if abs(share) > _SNAP]
    if not taps:
        return None
    if all(abs(share - 1 / len(taps)) < _SNAP for share in shares):
        shares = [1 / len(taps)] * len(taps)
    head = AffineHead(taps, shares)
    unseen = logits_of(1).double()
    error = _error(head.collect().double() @ head.weight.double().T + head.bias.double(), unseen)
    return _found(taps, shares, error) if error <= TOLERANCE else None


def _found(taps: Sequence[Tap], shares: Sequence[float], error: float) -> FoundHead:
    head = AffineHead(taps, shares)
    card = HeadCard(
        kind=taps[0].kind if len(taps) == 1 else "averaged linear",
        modules=tuple(tap.name for tap in taps),
        feature_width=head.weight.shape[1],
        proof_error=error,
    )
    return FoundHead(head, card)


def _error(answer: torch.Tensor, logits: torch.Tensor) -> float:
    return float(row_errors(answer, logits).max())


def _none(reason: str) -> FoundHead:
    return FoundHead(None, HeadCard(kind="none", reason=reason))


def _absence(taps: Sequence[Tap], classes: int) -> str:
    if not taps:
        return f"no linear layer and no 1×1 convolution has {classes} outputs"
    often = [tap for tap in taps if tap.calls > 1]
    if often:
        return f"`{often[-1].name}` runs {often[-1].calls} times in one pass: there is no single last feature"
    return f"`{taps[-1].name}` has {classes} outputs but is not called as a layer in the forward pass"


def _failure(ran: Sequence[Tap], answers: Sequence[torch.Tensor | None], logits: torch.Tensor) -> str:
    errors = {tap.name: _error(answer, logits) for tap, answer in zip(ran, answers, strict=True) if answer is not None}
    if not errors:
        return f"the output of `{ran[-1].name}` has another shape than the logits"
    if looks_like_log_probabilities(logits):
        return "the network ends in a log-softmax inside forward(): its outputs are not affine in any feature"
    name = min(errors, key=lambda key: errors[key])
    return (
        f"the logits are not affine in the input of `{name}` (they differ by {errors[name]:.2g} times their spread): "
        "something else contributes to them or a non-linear step follows"
    )
