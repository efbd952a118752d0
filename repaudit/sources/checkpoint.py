"""Weights in a file, for the network that `--arch` names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.sources import Source, build_architecture
from repaudit.sources._fit import fit
from repaudit.sources._state import read_state

if TYPE_CHECKING:
    from repaudit.sources import Draft, ModelRequest


def open_checkpoint(name: str, request: ModelRequest) -> Draft:
    """The architecture of the request with the weights of the file `name`.

    Raises:
        InvalidModel: the file or the architecture cannot be used, or they do not belong together.
    """
    path = Path(name)
    stored = read_state(path, trust_pickle=request.trust_pickle)
    draft = build_architecture(request)
    notes = [*stored.notes, *fit(draft, stored.tensors, path.name)]
    if draft.preprocess is not None and request.preprocess is None and draft.source != "py":
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


source = Source(
    summary="a checkpoint file (.safetensors .pth .pt .tar .th) with --arch",
    examples=("weights.safetensors --arch resnet50", "checkpoint.pth.tar --arch py:net.py:make_net"),
    open=open_checkpoint,
    build=None,
)
