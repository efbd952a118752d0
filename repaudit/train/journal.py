"""`log.jsonl`: one line an epoch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.train.evaluation import Standing

FILE = "log.jsonl"


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
