"""All that a run needs to go on where it stopped, written so that no moment of a crash can lose it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidRecipe, UnfinishedError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "checkpoint.pt"


@dataclass(slots=True)
class State:
    """Where a run is. Random numbers are functions of (seed, epoch, step): nothing of them needs to be kept."""

    epoch: int
    """Counted from 0; the one that is under way."""
    step: int
    """Of that epoch; the next to be made."""
    sums: torch.Tensor
    """(3,) float64: loss, target entropy and mixing share over the epoch's steps so far."""
    network: dict[str, torch.Tensor]
    optimizer: dict[str, object]


def save(state: State, folder: Path, identity: str) -> None:
    """Replaces the checkpoint of a run in one move.

    Raises:
        UnfinishedError: the disk is full; the earlier checkpoint is still there.
    """
    path, fresh = folder / FILE, folder / f"{FILE}.new"
    content = {
        "identity": identity,
        "epoch": state.epoch,
        "step": state.step,
        "sums": state.sums,
        "network": state.network,
        "optimizer": state.optimizer,
    }
    try:
        with fresh.open("wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk with a RuntimeError
        fresh.unlink(missing_ok=True)
        raise UnfinishedError(
            f"the checkpoint of {folder} cannot be written: {error}",
            detail="the last one is kept" if path.exists() else "",
            remedy="free some space and give the same command again; it continues",
        ) from None


def load(folder: Path, identity: str, device: torch.device) -> State | None:
    """The checkpoint of a run; None where it has none.

    Raises:
        InvalidRecipe: it is damaged, or of another run.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a torn file fails in many ways
        raise InvalidRecipe(f"{path} cannot be read: {type(error).__name__}", remedy=f"rm {path}") from None
    if content["identity"] != identity:
        raise InvalidRecipe(f"{path} belongs to another run", remedy=f"another folder, or rm -r {folder}")
    return State(
        epoch=content["epoch"],
        step=content["step"],
        sums=content["sums"].cpu(),
        network=content["network"],
        optimizer=content["optimizer"],
    )
