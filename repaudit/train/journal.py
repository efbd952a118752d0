"""`log.jsonl`: one line an epoch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from repaudit.errors import UnfinishedError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Standing:
    """Of the first K logits, renormalised, on images that are not trained on."""

    accuracy: float
    """In [0, 1]."""
    loss: float
    """Mean negative log likelihood in nats."""
    confidence: float
    """Mean of the largest probability, in [0, 1]."""
    virtual_mass: float
    """Mean probability of all other nodes in the softmax over all, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What came of one epoch."""

    run: str
    epoch: int
    """Counted from 1."""
    epochs: int
    loss: float
    """Mean of the epoch's steps in nats; of different methods not comparable."""
    excess: float
    """Loss above the entropy of the targets, the least that can be reached."""
    mixing_share: float
    """Mean share of an image that was left its own; 1 without mixing."""
    rate: float
    """Of the last step."""
    test: Standing | None
    """None in epochs between two evaluations."""
    held_out: Standing | None
    """Of the images kept back to choose by, where there are any."""
    images_per_second: float
    """Of this machine; says nothing about the weights."""


def append(folder: Path, epoch: Epoch) -> None:
    """Adds a line."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(epoch), allow_nan=False) + "\n")


def keep(folder: Path, epochs: int) -> None:
    """Leaves the first lines only: those of epochs that a checkpoint has behind it."""
    path = folder / FILE
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:epochs]), encoding="utf-8")


def count(folder: Path) -> int:
    """Epochs that are in the log."""
    path = folder / FILE
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def final(folder: Path) -> tuple[Standing, Standing | None]:
    """On the test images and on those kept back to choose by, after the last epoch.

    Raises:
        UnfinishedError: the log is gone or torn.
    """
    try:
        last = json.loads((folder / FILE).read_text(encoding="utf-8").splitlines()[-1])
        held_out = last["held_out"]
        return Standing(**last["test"]), None if held_out is None else Standing(**held_out)
    except (OSError, ValueError, IndexError, TypeError, KeyError) as error:
        raise UnfinishedError(
            f"{folder / FILE} tells no end of its run: {error}", remedy=f"rm -r {folder}, then the same command again"
        ) from None
