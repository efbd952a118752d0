"""Exported programs: torch.export's .pt2 and TorchScript."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.errors import InvalidModel
from repaudit.foreign import said
from repaudit.sources import Draft, Source
from repaudit.sources._batches import in_batches
from repaudit.sources._exported_graph import ended
from repaudit.sources._exported_guard import code_in_export
from repaudit.sources._first_steps import steps_of_program, steps_of_script
from repaudit.sources._own_normalisation import OwnNormalisation, composed
from repaudit.sources._read_head import ReadHead, no_head, prove
from repaudit.sources._state import file_sha256, refuse_bomb, trusted
from repaudit.sources._torchscript import ScriptedEnd, find_linear, read_script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repaudit.sources import ModelRequest
    from repaudit.sources._head import FoundHead


class ExportedNetwork(nn.Module):
    """A program as a network; asked in its own batch size where it has one."""

    def __init__(self, program: nn.Module, ask: Callable[[torch.Tensor], object], batch: int | None) -> None:
        """`ask` returns the logits, or logits and features."""
        super().__init__()
        self.program = program
        self._ask, self._batch = ask, batch
        self._feature: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, classes) logits of (b, c, h, w) normalised images."""
        columns = in_batches(self._answers, images, self._batch)
        self._feature = columns[1] if len(columns) > 1 else None
        return columns[0]

    def take_feature(self) -> torch.Tensor:
        """(b, d): the input of the last linear layer in the latest forward pass."""
        if self._feature is None:
            raise RuntimeError("the program has not run since its feature was last taken")
        kept, self._feature = self._feature, None
        return kept

    def _answers(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        found = self._ask(images)
        return [found] if isinstance(found, torch.Tensor) else list(found)  # type: ignore[call-overload]


def open_exported(name: str, request: ModelRequest) -> Draft:
    """The network of the file `name`.

    Raises:
        InvalidModel: it is no exported program, may run code, would fill the memory, or takes arguments that it
            has not.
    """
    path = Path(name)
    if request.arguments:
        raise InvalidModel(f"`{name}` is a program, which takes no arguments", remedy="--set model.… left out")
    if not path.is_file():
        raise InvalidModel(f"there is no file `{path}`", remedy="the path of a .pt2 or TorchScript file")
    refuse_bomb(path)
    return _exported(path, request) if path.suffix == ".pt2" else _scripted(path, request)


def _exported(path: Path, request: ModelRequest) -> Draft:
    try:
        danger = code_in_export(path)
    except Exception as error:  # torch raises whatever its reader met
        raise _no_export(path, error) from None
    notes = [*trusted(path, danger, trust_pickle=request.trust_pickle)]
    try:
        program = torch.export.load(str(path))
        shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name in _inputs(program))
        end = ended(program.module(check_guards=False))  # guards are source code of the file
    except Exception as error:
        raise _no_export(path, error) from None
    sides = [side if isinstance(side, int) else None for side in shape]
    if len(sides) != 4:
        raise InvalidModel(
            f"the input of `{path.name}` has {len(sides)} axes, not 4 (batch, channels, height, width)",
            remedy="an image classifier exported with its batch axis",
        )
    module = end.module.to(request.device)
    network = ExportedNetwork(module, module, sides[0])
    notes += _batch_note(sides[0])
    if end.softmax:
        notes.append("the program ends in a softmax: its input is taken as the logits")
    weights = None if end.head is None else (end.head.weight, end.head.bias, end.head.name)
    height, width = sides[2:]
    return _draft(
        path, network, str(end.module.graph), notes, partial(_prove, network, weights, end.reason, request.device),
        composed(steps_of_program(end.module)), size=None if height is None or width is None else (height, width),
    )  # fmt: skip


def _no_export(path: Path, error: Exception) -> InvalidModel:
    return InvalidModel(
        f"`{path}` is no program of torch.export that this torch reads", detail=said(error), remedy="torch.export.save"
    )


def _inputs(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    return tuple(program.graph_signature.user_inputs)


def _scripted(path: Path, request: ModelRequest) -> Draft:
    module, notes = read_script(path, request.device, trust_pickle=request.trust_pickle)
    end = find_linear(module)
    weights, reason = None, end if isinstance(end, str) else None
    ask: Callable[[torch.Tensor], object] = module
    if isinstance(end, ScriptedEnd):
        found = end

        def ask_both(images: torch.Tensor) -> object:
            return found.function(images, *found.parameters)

        ask, weights = ask_both, (end.weight, end.bias, end.name)
    network = ExportedNetwork(module, ask, None)
    return _draft(
        path, network, str(module.graph), [*notes], partial(_prove, network, weights, reason, request.device),
        composed(steps_of_script(module)),
    )  # fmt: skip


def _draft(
    path: Path,
    network: ExportedNetwork,
    graph: str,
    notes: list[str],
    find_head: Callable[[Callable[[int], torch.Tensor]], FoundHead],
    own_normalisation: OwnNormalisation | None,
    size: tuple[int, int] | None = None,
) -> Draft:
    return Draft(
        network=network,
        resolved=f"exported:{path.name}",
        source="exported",
        architecture=f"exported program {hashlib.sha256(graph.encode()).hexdigest()[:12]}",
        preprocess=None,
        files={path.name: file_sha256(path)},
        notes=tuple(notes),
        size=size,
        find_head=find_head,
        own_normalisation=own_normalisation,
    )


def _batch_note(batch: int | None) -> list[str]:
    return [] if batch is None else [f"the program takes batches of {batch}: others are padded and split"]


def _prove(
    network: ExportedNetwork,
    weights: tuple[torch.Tensor, torch.Tensor, str] | None,
    reason: str | None,
    device: torch.device,
    logits_of: Callable[[int], torch.Tensor],
) -> FoundHead:
    if weights is None:
        return no_head(reason)
    head = ReadHead(weights[0].to(device), weights[1].to(device), network.take_feature)
    return prove(head, "linear", weights[2], logits_of)


source = Source(
    summary="an exported program: .pt2 of torch.export, or TorchScript (.pt, .pth, .ts)",
    examples=("model.pt2 --preprocess timm:resnet50.a1_in1k", "scripted.pt --preprocess mynet.yaml"),
    open=open_exported,
    build=None,
)
