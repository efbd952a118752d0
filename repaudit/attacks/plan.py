"""The jobs of every image, in the order in which they count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from repaudit.attacks import Member
    from repaudit.attacks.intake import Subjects


class Plan:
    """The jobs of every image in the order in which they count: by member, then by restart, then by target."""

    def __init__(self, members: tuple[Member, ...], subjects: Subjects) -> None:
        self.members = members
        targets = [member.attack.targets(subjects.logits, subjects.labels) for member in members]
        self._targets = np.concatenate(targets, axis=1)
        member: list[int] = []
        restart: list[int] = []
        column: list[int] = []
        offset = 0
        for number, (each, tried) in enumerate(zip(members, targets, strict=True)):
            width = tried.shape[1]
            for repeat in range(each.attack.restarts):
                member += [number] * width
                restart += [repeat] * width
                column += range(offset, offset + width)
            offset += width
        self.member = np.array(member, dtype=np.int64)
        """(j,): which member each job belongs to."""
        self.restart = np.array(restart, dtype=np.int64)
        """(j,)."""
        self._column = np.array(column, dtype=np.int64)
        self.queries = np.array([each.attack.steps + 1 for each in members], dtype=np.int64)[self.member]
        """(j,): queries of each job, about as many as it can take."""
        self.ahead = self.queries[::-1].cumsum()[::-1]
        """(j,): the same of each job and those after it."""

    @property
    def count(self) -> int:
        """Jobs an image, j."""
        return len(self.member)

    def target(self, subject: np.ndarray, job: np.ndarray) -> np.ndarray:
        """(r,) targets of some jobs."""
        tried: np.ndarray = self._targets[subject, self._column[job]]
        return tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which jobs some rows are at; each (r,) int64."""

    subject: np.ndarray
    """Which of the subjects."""
    job: np.ndarray
    """Which of the plan's jobs."""
    iteration: np.ndarray
    """How many of the job's queries were answered."""
