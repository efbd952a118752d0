"""Weights in a file, for the network that `--arch` names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel
from repaudit.sources import Source, build_architecture
from repaudit.sources._fit import fit
from repaudit.sources._preprocess import from_mapping
from repaudit.sources._state import read_state
from repaudit.sources._trained import insert_bottleneck, read_trained

if TYPE_CHECKING:
    from repaudit.sources import Draft, ModelRequest
    from repaudit.sources._trained import Trained


def open_checkpoint(name: str, request: ModelRequest) -> Draft:
    """The architecture of the request with the weights of the file `name`.

    Raises:
        InvalidModel: the file or the architecture cannot be used, or they do not belong together.
    """
    path = Path(name)
    trained = read_trained(path) if request.arch is None else None
    if trained is not None and request.arguments:
        given = next(iter(request.arguments))
        raise InvalidModel(
            f"`{name}` says itself which network it belongs to; `--set model.{given}` would make another",
            remedy=f"the command without it, or with --arch {trained.arch}",
        )
    stored = read_state(path, trust_pickle=request.trust_pickle)
    if trained is None and request.arch is None and stored.whole is not None:
        raise InvalidModel(
            f"`{name}` holds a whole {stored.whole}, of which only the weights are used",
            detail="whatever code is installed under its name today would run it; --arch says which network it is",
            remedy=f"repaudit scan {name} --trust-pickle --arch resnet50   (torchvision:NAME, py:FILE.py:factory)",
        )
    draft = build_architecture(request) if trained is None else _as_trained(trained, request)
    notes = [*stored.notes, *fit(draft, stored.tensors, path.name)]
    if trained is None and draft.preprocess is not None and request.preprocess is None and draft.source != "py":
        notes.append(
            f"preprocessing is that of {draft.preprocess.source}; "
            "give --preprocess if the weights were trained otherwise"
        )
    return replace(
        draft,
        resolved=f"checkpoint:{path.name} in {draft.resolved}",
        source="checkpoint",
        files={**draft.files, path.name: stored.sha256},
        notes=(*draft.notes, *notes),
    )


def _as_trained(trained: Trained, request: ModelRequest) -> Draft:
    """The network that the file itself names, with the preprocessing that it was trained with."""
    draft = build_architecture(replace(request, arch=trained.arch, arguments=trained.arguments))
    if trained.bottleneck is not None:
        insert_bottleneck(draft.network, trained.heads, trained.bottleneck)
    return replace(
        draft,
        preprocess=from_mapping(trained.preprocess, "the checkpoint's own note"),
        class_ids=trained.class_names,
        convert=None,
    )


source = Source(
    summary="a checkpoint file (.safetensors .pth .pt .tar .th) with --arch",
    examples=("weights.safetensors --arch resnet50", "checkpoint.pth.tar --arch py:net.py:make_net"),
    open=open_checkpoint,
    build=None,
)
