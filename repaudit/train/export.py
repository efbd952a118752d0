"""What a finished run leaves: an ordinary checkpoint of K classes, and the virtual rows beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors.torch import save

from repaudit.errors import UnfinishedError
from repaudit.sources._trained import KEY
from repaudit.train.widen import split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from repaudit.train.network import Built

MODEL, VIRTUAL = "model.safetensors", "vs_head.safetensors"


def export(built: Built, folder: Path, facts: Mapping[str, object]) -> None:
    """Writes `model.safetensors`, and `vs_head.safetensors` where there are nodes beside the real classes.

    Args:
        built: the network after its last step.
        folder: of the run.
        facts: JSON values that tell how it was trained, kept in both files.

    Raises:
        UnfinishedError: a file cannot be written.
    """
    ordinary, virtual = split(built.network.network.state_dict(), built.heads)
    note = json.dumps({"network": built.trained.as_json(), **facts}, sort_keys=True, allow_nan=False)
    if virtual:
        _write(virtual, folder / VIRTUAL, note)
    _write(ordinary, folder / MODEL, note)


def _write(tensors: Mapping[str, torch.Tensor], path: Path, note: str) -> None:
    fresh = path.with_suffix(".new")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        # one key: several would be written in a random order; in memory: a file would be its owner's alone
        fresh.write_bytes(save(whole, metadata={KEY: note}))
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UnfinishedError(
            f"{path} cannot be written: {error}", remedy="free some space and give the same command again"
        ) from None
