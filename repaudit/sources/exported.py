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
from repaudit.preprocessing import Layout
from repaudit.sources import Draft, Source
from repaudit.sources._batches import in_batches
from repaudit.sources._exported_graph import ended
from repaudit.sources._exported_guard import code_in_export
from repaudit.sources._first_layer import first_layer_of_program
from repaudit.sources._first_steps import steps_of_program, steps_of_script
from repaudit.sources._layout import settled, sides
from repaudit.sources._outputs import asked_output, chosen, leaves
from repaudit.sources._own_normalisation import OwnNormalisation, composed
from repaudit.sources._preprocess import given_layout, read_preprocess
from repaudit.sources._read_head import ReadHead, no_head, prove
from repaudit.sources._softmax import is_softmax_of
from repaudit.sources._state import file_sha256, refuse_bomb, trusted
from repaudit.sources._torchscript import LARGEST_BATCH, ScriptedEnd, batches_named, find_end, read_script
from repaudit.sources._trial import images_taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repaudit.preprocessing import Preprocess
    from repaudit.sources import ModelRequest
    from repaudit.sources._exported_graph import Ended
    from repaudit.sources._head import FoundHead

OPEN = (None, None, None, None)
"""The shape of an input of which nothing is known."""
FEW = 8
"""Images in the largest batch that is tried on every usual size."""


class ExportedNetwork(nn.Module):
    """A program as a network; asked in its own batch size where it has one."""

    def __init__(self, program: nn.Module, ask: Callable[[torch.Tensor], object], batch: int | None) -> None:
        """`ask` returns the logits, or logits and features."""
        super().__init__()
        self.program = program
        self._ask, self.batch = ask, batch
        self._feature: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(b, classes) logits of (b, c, h, w) normalised images."""
        columns = in_batches(self._answers, images, self.batch)
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
        InvalidModel: it is no exported program, may run code, would fill the memory, has several outputs of which
            none is chosen, or takes arguments that it has not.
    """
    path = Path(name)
    output = asked_output(request, "a program")
    if not path.is_file():
        raise InvalidModel(f"there is no file `{path}`", remedy="the path of a .pt2 or TorchScript file")
    refuse_bomb(path)
    known = None if request.preprocess is None else read_preprocess(request.preprocess)
    return (_exported if path.suffix == ".pt2" else _scripted)(path, request, output, known)


def _exported(path: Path, request: ModelRequest, output: str | None, known: Preprocess | None) -> Draft:
    try:
        danger = code_in_export(path)
    except Exception as error:  # torch raises whatever its reader met
        raise _no_export(path, error) from None
    notes = [*trusted(path, danger, trust_pickle=request.trust_pickle)]
    try:
        program = torch.export.load(str(path))
        shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name in _inputs(program))
        end = ended(program, output, path.name)
        whole = ended(program, output, path.name, whole=True) if end.softmax else None
    except InvalidModel:
        raise
    except Exception as error:
        raise _no_export(path, error) from None
    axes = [side if isinstance(side, int) else None for side in shape]
    if len(axes) != 4:
        raise InvalidModel(
            f"the input of `{path.name}` has {len(axes)} axes, not 4 (batch, channels, height, width)",
            remedy="an image classifier exported with its batch axis",
        )
    layout = settled(axes, first_layer_of_program(end.module), known, given_layout(request.preprocess, {}), path.name)
    network = _network_of(end, request.device, axes[0])
    if whole is not None:
        uncut = _network_of(whole, request.device, axes[0])
        trial = images_taken(network, axes, layout, known, device=request.device)
        if trial is None or not _proved(uncut, network, trial):
            end, network = whole, uncut
    weights = None if end.head is None else (end.head.weight, end.head.bias, end.head.name)
    return _draft(
        path, network, str(end.module.graph), notes, partial(_prove, network, weights, end.reason, request.device),
        composed(steps_of_program(end.module)), size=sides(axes, layout), layout=layout, softmax=end.softmax,
    )  # fmt: skip


def _network_of(end: Ended, device: torch.device, batch: int | None) -> ExportedNetwork:
    module = end.module.to(device)
    return ExportedNetwork(module, module, batch)


def _proved(whole: nn.Module, network: nn.Module, images: torch.Tensor) -> bool:
    """Whether what was cut out of a program goes into the softmax that ends it."""
    with torch.no_grad():
        return is_softmax_of(whole(images), network(images))


def _no_export(path: Path, error: Exception) -> InvalidModel:
    return InvalidModel(
        f"`{path}` is no program of torch.export that this torch reads", detail=said(error), remedy="torch.export.save"
    )


def _inputs(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    return tuple(program.graph_signature.user_inputs)


def _scripted(path: Path, request: ModelRequest, output: str | None, known: Preprocess | None) -> Draft:
    module, notes = read_script(path, request.device, trust_pickle=request.trust_pickle)

    def as_it_is(images: torch.Tensor) -> torch.Tensor:
        return chosen(leaves(module(images), torch.Tensor), output, path.name)

    said_layout = given_layout(request.preprocess, {})
    layout = said_layout or Layout.NCHW
    batch = _batch_taken(as_it_is, batches_named(module), layout, known, request.device)
    end = find_end(module, output, path.name)
    network = ExportedNetwork(module, _ask(end, as_it_is), batch)
    if end.softmax:
        trial = images_taken(network, OPEN, layout, known, device=request.device)
        uncut = ExportedNetwork(module, as_it_is, batch)
        if trial is None or not _proved(uncut, network, trial):
            end, network = find_end(module, output, path.name, whole=True), uncut
    weights = None if end.head is None else (end.head.weight, end.head.bias, end.head.name)
    return _draft(
        path, network, str(module.graph), [*notes], partial(_prove, network, weights, end.reason, request.device),
        composed(steps_of_script(module)), layout=said_layout, softmax=end.softmax,
    )  # fmt: skip


def _ask(end: ScriptedEnd, as_it_is: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], object]:
    function = end.function
    if function is None:
        return as_it_is

    def ask(images: torch.Tensor) -> object:
        found = function(images, *end.parameters)
        answers = [found] if isinstance(found, torch.Tensor) else list(found)  # type: ignore[call-overload]
        return [answers[0].flatten(1), *answers[1:]] if end.softmax else answers

    return ask


def _batch_taken(
    ask: Callable[[torch.Tensor], torch.Tensor],
    named: Sequence[int],
    layout: Layout,
    known: Preprocess | None,
    device: torch.device,
) -> int | None:
    """The only number of images that a traced program takes; None where it takes any, or none that was tried.

    Args:
        ask: the program.
        named: whole numbers that it holds.
        layout: of its images.
        known: their size and channels, where known; without a size large batches are not tried on every usual one.
        device: where it runs.
    """

    def taken(rows: int) -> bool:
        return images_taken(ask, OPEN, layout, known, rows, device) is not None

    if taken(2) and taken(3):
        return None
    most = LARGEST_BATCH if known is not None and known.size is not None else FEW
    return next((rows for rows in (1, *named) if rows <= most and taken(rows)), None)


def _draft(
    path: Path,
    network: ExportedNetwork,
    graph: str,
    notes: list[str],
    find_head: Callable[[Callable[[int], torch.Tensor]], FoundHead],
    own_normalisation: OwnNormalisation | None,
    *,
    layout: Layout | None,
    softmax: bool,
    size: tuple[int, int] | None = None,
) -> Draft:
    if network.batch is not None:
        notes.append(f"the program takes batches of {network.batch}: others are padded and split")
    if softmax:
        notes.append("the program ends in a softmax: its input is taken as the logits")
    return Draft(
        network=network,
        resolved=f"exported:{path.name}",
        source="exported",
        architecture=f"exported program {hashlib.sha256(graph.encode()).hexdigest()[:12]}",
        preprocess=None,
        files={path.name: file_sha256(path)},
        notes=tuple(notes),
        layout=layout,
        size=size,
        find_head=find_head,
        own_normalisation=own_normalisation,
        softmax_cut=softmax,
    )


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
    summary="an exported program: .pt2 of torch.export, or TorchScript (.pt, .pth, .ts); --set model.output=NAME "
    "chooses among outputs",
    examples=("model.pt2 --preprocess timm:resnet50.a1_in1k", "scripted.pt --preprocess mynet.yaml"),
    open=open_exported,
    build=None,
)
