"""The network of a run: architecture, initial weights, bottleneck, virtual classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidModel, InvalidRecipe
from repaudit.progress import SilentProgress
from repaudit.sources import ModelRequest, build_architecture
from repaudit.sources._fit import fit
from repaudit.sources._head import find_head
from repaudit.sources._state import read_state
from repaudit.sources._trained import Trained, insert_bottleneck
from repaudit.train.streams import Purpose, drawing
from repaudit.train.trainee import Normalised
from repaudit.train.widen import widen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from repaudit.sources import Draft
    from repaudit.train.examples import Material
    from repaudit.train.runs import Run

_PROOF_ROWS = 4


@dataclass(frozen=True, slots=True)
class Built:
    """A network before its first step."""

    network: Normalised
    heads: tuple[str, ...]
    """Layers that make the logits, by name; with virtual classes each holds both kinds."""
    trained: Trained
    """What the exported file will say of it."""


def build(run: Run, material: Material, extra: int) -> Built:
    """Makes the network of a run on the processor.

    Initial weights come from the seed alone: all methods of one seed begin with the same real rows.

    Args:
        run: what is trained.
        material: tells classes and channels.
        extra: nodes beside the real classes.

    Raises:
        InvalidModel: an unknown architecture or argument, or a checkpoint that does not fit.
        InvalidRecipe: nodes beside the real classes without a linear head.
    """
    section = run.recipe.network
    with drawing(run.seed, Purpose.INITIAL_WEIGHTS):
        draft = _draft(run, material)
        bare = _heads(draft.network, material)
        if section.start is not None:
            _begin_with(section.start, draft, bare)
        heads = bare
        if section.bottleneck is not None:
            heads = insert_bottleneck(draft.network, _required(bare, "a bottleneck"), section.bottleneck)
    if extra:
        widen(draft.network, _required(heads, "virtual classes"), extra, run.seed)
    preprocess = material.preprocess
    return Built(
        network=Normalised(draft.network, preprocess.mean, preprocess.std),
        heads=heads,
        trained=Trained(
            arch=section.arch,
            arguments=_arguments(run, material),
            heads=bare,
            bottleneck=section.bottleneck,
            preprocess={key: value for key, value in preprocess.as_dict().items() if key != "source"},
            class_names=material.class_names,
        ),
    )


def _draft(run: Run, material: Material) -> Draft:
    arguments = _arguments(run, material)
    request = ModelRequest(
        ref="the recipe",
        arch=run.recipe.network.arch,
        arguments=arguments,
        preprocess=None,
        device=torch.device("cpu"),
        trust_pickle=False,
        offline=True,
        progress=SilentProgress(),
    )
    return build_architecture(request)


def _arguments(run: Run, material: Material) -> dict[str, str | int | float | bool]:
    """Those of the recipe, and what the data decide: classes, and channels where they are not three."""
    section = run.recipe.network
    decided: dict[str, str | int | float | bool] = {"num_classes": material.classes}
    if section.arch.startswith("baseline:"):
        decided["channels"] = material.channels
    elif material.channels != 3:
        decided["in_chans"] = material.channels
    return {**decided, **section.arguments}


def _heads(network: nn.Module, material: Material) -> tuple[str, ...]:
    """Names of the layers that make the logits; none where they are no linear layers."""
    size = material.preprocess.size or (32, 32)

    def logits_of(index: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(index)
        images = torch.randn(_PROOF_ROWS, material.channels, *size, generator=generator)
        with torch.inference_mode():
            logits: torch.Tensor = network(images)
        return logits

    training = network.training
    network.eval()
    found = find_head(network, material.classes, logits_of)
    network.train(training)
    return found.card.modules


def _required(heads: Sequence[str], what: str) -> Sequence[str]:
    if not heads:
        raise InvalidRecipe(
            f"{what} need a network that ends in a linear layer; this one does not",
            remedy="another --arch, such as baseline:resnet18",
        )
    return heads


def _begin_with(path: str, draft: Draft, heads: Sequence[str]) -> None:
    """Weights of a checkpoint; its head only where it has as many classes."""
    if not Path(path).is_file():
        raise InvalidModel(f"there is no checkpoint {path}", remedy="--from FILE.safetensors")
    tensors = dict(read_state(Path(path), trust_pickle=False).tensors)
    own = draft.network.state_dict()
    for name in heads:
        for leaf in ("weight", "bias"):
            key = f"{name}.{leaf}"
            if key in tensors and key in own and tensors[key].shape != own[key].shape:
                tensors[key] = own[key]
    fit(draft, tensors, path)
