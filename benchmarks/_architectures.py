"""Every architecture of timm and torchvision with random weights, and where its linear head is."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from repaudit.classifier import HeadCard
from repaudit.heads import Row
from repaudit.sources._head import classes_of, find_head

CLASSES = 1000
"""Asked for where an architecture comes without a classifier by default."""
PARAMETERS = 145_000_000
OPERATIONS = 40_000_000_000
"""Floating-point operations an image."""
AT_MOST = 450_000_000
"""Parameters of networks that are given values where their graph shows no head, such as an average of several."""
IMAGES = 2
SIDES = (96, 128, 160, 192, 224, 256, 288, 384, 448, 512)
"""Of square images, smallest first: where a head is does not depend on the size."""
SPREAD = 0.05
"""Of the weights of whatever may be a head: some architectures begin with zeros there, which prove nothing."""
ONLY_SHAPES = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Alias", "Flatten")
"""Steps of a graph that move no number to another place in its row."""


@dataclass(frozen=True)
class Architecture:
    """One name of one library."""

    library: str
    name: str

    @property
    def family(self) -> str:
        """The file of the library that defines it."""
        builder = timm.model_entrypoint(self.name) if self.library == "timm" else models.get_model_builder(self.name)
        return str(builder.__module__.rpartition(".")[2])

    def build(self, device: str) -> nn.Module:
        """In eval mode, with random weights; with `CLASSES` outputs where it has none by default."""
        with torch.random.fork_rng([]), torch.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both libraries deprecate names of their own
            torch.manual_seed(0)
            network = self._made()
        return network.eval().requires_grad_(device == "meta")

    @property
    def sides(self) -> tuple[int, ...]:
        """Of square images worth trying: the one that it is made for, or smaller ones first."""
        if self.library == "torchvision":
            return SIDES
        config = timm.get_pretrained_cfg(self.name)
        side = int(config.input_size[-1])
        return (side,) if config.fixed_input_size else (*(each for each in SIDES if each < side), side)

    def _made(self) -> nn.Module:
        if self.library == "torchvision":
            named = {"init_weights": False} if self.name in ("googlenet", "inception_v3") else {}
            return models.get_model(self.name, weights=None, **named)
        network = timm.create_model(self.name, pretrained=False)
        return network if network.num_classes else timm.create_model(self.name, pretrained=False, num_classes=CLASSES)


def architectures() -> list[Architecture]:
    """All of timm's, and all of torchvision's classifiers."""
    return [
        *(Architecture("timm", name) for name in sorted(timm.list_models())),
        *(Architecture("torchvision", name) for name in sorted(models.list_models(module=models))),
    ]


class Proof(StrEnum):
    """How a head was found."""

    VALUES = "values"
    """`features @ W.T + b == logits`, on random weights."""
    SHAPES = "shapes"
    """The network ends in that layer, followed on the meta device."""


def walked(
    architecture: Architecture, *, first: Proof = Proof.VALUES, thorough: bool = False, at_most: int = AT_MOST
) -> Row:
    """Builds it, runs it and looks for its linear head.

    Args:
        architecture: what to build.
        first: `VALUES` proves the head as that of a model is when it is loaded, in networks of up to `PARAMETERS`
            and `OPERATIONS`, and follows the graph of larger ones; `SHAPES` follows every graph.
        thorough: `VALUES` is for networks of any cost, up to `at_most` parameters.
        at_most: parameters of networks that are given values where their graph shows no head.
    """
    shapes = _shapes(architecture)
    side = None if shapes is None else _side(shapes, architecture.sides)
    affordable = shapes is None or _parameters(shapes) <= at_most
    card, classes, proof = HeadCard(kind="none"), 0, Proof.SHAPES
    followed = first is Proof.SHAPES or not (affordable if thorough else side is None or _is_small(shapes, side))
    if side is not None and followed:
        card, classes = _traced(shapes, side)
    if card.kind == "none" and affordable:
        shapes = architecture.build("cpu")
        proof = Proof.VALUES
        card, classes = _proved(shapes, architecture.sides if side is None else (side,))
    return Row(
        library=architecture.library,
        name=architecture.name,
        family=architecture.family,
        parameters=_parameters(shapes),
        classes=classes,
        kind=card.kind,
        layers=card.modules,
        width=card.feature_width,
        proof=proof,
        reason=card.reason,
    )


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _shapes(architecture: Architecture) -> nn.Module | None:
    """Without values; None where its constructor needs them."""
    try:
        return architecture.build("meta")
    except (NotImplementedError, RuntimeError):
        return None


def _side(shapes: nn.Module, sides: Sequence[int]) -> int | None:
    """Of the smallest square images that it takes; None where it does not run without values."""
    for side in sides:
        try:
            with torch.no_grad():
                shapes(torch.empty(1, 3, side, side, device="meta"))
        except Exception:  # whatever a network raises on images of another size
            continue
        return side
    return None


def _is_small(shapes: nn.Module, side: int) -> bool:
    """Whether it can be run with values without much ado."""
    if _parameters(shapes) > PARAMETERS:
        return False
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            shapes(torch.empty(1, 3, side, side, device="meta"))
    except Exception:  # the counter does not know every operator
        return True
    return int(counter.get_total_flops()) <= OPERATIONS


def _proved(network: nn.Module, sides: Sequence[int]) -> tuple[HeadCard, int]:
    """As a model is split when it is loaded."""
    side, classes = _taken(network, sides)
    if not classes:
        return NO_CLASSIFIER, 0
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if classes in (getattr(layer, "out_features", None), getattr(layer, "out_channels", None)):
            for parameter in layer.parameters(recurse=False):
                parameter.data.normal_(0, SPREAD, generator=generator)

    def logits_of(index: int) -> torch.Tensor:
        drawn = torch.Generator().manual_seed(index)
        with torch.inference_mode():
            return network(torch.randn(IMAGES, 3, side, side, generator=drawn))

    return find_head(network, classes, logits_of).card, classes


def _taken(network: nn.Module, sides: Sequence[int]) -> tuple[int, int]:
    """The smallest side that the network takes, and how many classes it answers with."""
    failures = []
    for side in sides:
        try:
            with torch.inference_mode():
                return side, _classes(network(torch.zeros(1, 3, side, side)))
        except Exception as failure:  # whatever a network raises on images of another size
            failures.append(f"{side}: {failure}")
    raise ValueError("; ".join(failures))


def _classes(logits: torch.Tensor) -> int:
    """0 where it is no row of logits."""
    return logits.shape[1] if logits.dim() == 2 else 0


NO_CLASSIFIER = HeadCard(kind="none", reason="no classifier: it answers with a map of features")


@dataclass(frozen=True)
class Call:
    """One run of a layer."""

    layer: nn.Module
    step: torch.autograd.graph.Node | None
    """That made its output."""
    numbers: int


def _traced(network: nn.Module, side: int) -> tuple[HeadCard, int]:
    """The last linear layer whose output is the network's, but for steps that move no number."""
    calls: dict[str, list[Call]] = defaultdict(list)
    hooks = [
        # at once: what happens in place to an output later would pass for the layer's own last step
        layer.register_forward_hook(
            lambda layer, _, output, name=name: calls[name].append(Call(layer, output.grad_fn, output.numel()))
        )
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    logits = network(torch.empty(1, 3, side, side, device="meta"))
    for hook in hooks:
        hook.remove()
    classes = _classes(logits)
    if not classes:
        return NO_CLASSIFIER, 0
    step = logits.grad_fn
    while step is not None:
        for name, made in calls.items():
            layer, numbers = made[-1].layer, made[-1].numbers
            if made[-1].step is step and classes_of(layer) == classes and numbers == logits.numel():
                if len(made) > 1:
                    return HeadCard(kind="none", reason=f"`{name}` runs {len(made)} times in one pass"), classes
                kind = "1x1 convolution" if isinstance(layer, nn.Conv2d) else "linear"
                return HeadCard(kind=kind, modules=(name,), feature_width=layer.weight.shape[1]), classes
        if not step.name().startswith(ONLY_SHAPES):
            break
        step = step.next_functions[0][0]
    last = "" if step is None else step.name().removesuffix("0")
    return HeadCard(kind="none", reason=f"the last step of the network is {last}, not a linear layer"), classes
