"""Whether adversarials survive being stored as 8-bit pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from repaudit.attacks.asking import Asker

LEVELS = 255
GRID = 1e-2
"""How far, in grey levels, a value may lie from a whole level and still be a stored picture's."""
SLACK = 1e-4
"""Share of a grey level by which a change may miss a whole number of levels and still count as that number."""


def towards(clean: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """The query with every change cut to whole grey levels, towards the image: the nearest could leave the ball.

    Args:
        clean: (r, c, h, w) in [0, 1].
        query: (r, c, h, w).

    Returns:
        (r, c, h, w): an 8-bit picture, as multiples of 1/255; within the ball where `clean` is one too.
    """
    levels = query * LEVELS
    change = levels - clean * LEVELS
    below, above = (levels + SLACK).floor(), (levels - SLACK).ceil()
    cut = torch.where(change > SLACK, below, torch.where(change < -SLACK, above, levels.round()))
    return cut.clamp(0, LEVELS) / LEVELS


def on_grid(clean: torch.Tensor) -> torch.Tensor:
    """(r,) bool: images that are 8-bit pictures. Others cannot be rounded without leaving any ball of half a level."""
    levels = clean.flatten(1) * LEVELS
    stored: torch.Tensor = ((levels - levels.round()).abs() <= GRID).all(dim=1)
    return stored


@dataclass(frozen=True, slots=True)
class Rounded:
    """Answers about rounded adversarials; each (r,)."""

    subject: np.ndarray
    job: np.ndarray
    wrong: np.ndarray
    """int8: 1 where the rounded query is still misclassified."""


class Rounding:
    """Asks the network about rounded adversarials, a full call at a time."""

    def __init__(self, asker: Asker, rows: int, classes: int | None) -> None:
        self._asker, self._rows, self._classes = asker, rows, classes
        self._queries: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []
        self._subject = np.empty(0, dtype=np.int64)
        self._job = np.empty(0, dtype=np.int64)

    def add(
        self, subject: np.ndarray, job: np.ndarray, clean: torch.Tensor, query: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """Takes the deciding queries of r jobs on images that are 8-bit pictures."""
        self._queries.append(towards(clean, query))
        self._labels.append(labels)
        self._subject = np.concatenate([self._subject, subject])
        self._job = np.concatenate([self._job, job])

    def answered(self, *, to_the_end: bool) -> Rounded:
        """The verdicts on as many as fill whole calls, or on all that wait."""
        count = len(self._subject) if to_the_end else len(self._subject) // self._rows * self._rows
        if not count:
            nothing = np.empty(0, dtype=np.int64)
            return Rounded(nothing, nothing, nothing)
        queries, labels = torch.cat(self._queries), torch.cat(self._labels)
        wrong = []
        for start in range(0, count, self._rows):
            part = slice(start, min(start + self._rows, count))
            logits = self._asker.output(queries[part]).logits[:, : self._classes]
            mistaken = (logits.argmax(dim=1) != labels[part]) & logits.isfinite().all(dim=1)
            wrong.append(mistaken.cpu().numpy())
        subject, job = self._subject[:count], self._job[:count]
        self._queries, self._labels = [queries[count:]], [labels[count:]]
        self._subject, self._job = self._subject[count:], self._job[count:]
        return Rounded(subject, job, np.concatenate(wrong).astype(np.int8))
