"""A fixed number of rows, each with one image at a time: who is in, which job it is at, who goes next.

The jobs of one image (restart by restart, target by target) follow one another in its row, so which job
decides an image never depends on how many rows there are; what the first success makes needless is never
begun. The pool knows nothing of networks and judges nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks import Rows
from repaudit.attacks.noise import job_key
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.attacks import Attack
    from repaudit.case import EvaluationShape
    from repaudit.images import Batch, ImageSet

EMPTY = -1
RANGE_TOLERANCE = 1e-6
"""How far outside [0, 1] a pixel may lie: rounding, nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """The images to attack."""

    ids: tuple[str, ...]
    labels: np.ndarray
    """(n,) int64."""
    logits: np.ndarray
    """(n, c) of the clean images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which jobs some rows are at; each (r,) int64."""

    subject: np.ndarray
    """Which of the subjects."""
    job: np.ndarray
    """Which of its jobs, from 0: restart by restart, within one target by target."""
    target: np.ndarray
    restart: np.ndarray
    iteration: np.ndarray
    """How many of the job's queries were answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """The pool's rows that one call of the network takes."""

    index: np.ndarray
    """(r,) rows of the pool, those that want a gradient first."""
    gradients: int
    """How many of them want one."""


class Pool:
    """The rows, filled from a stream of images that is read once, in order."""

    def __init__(
        self,
        subjects: Subjects,
        images: ImageSet,
        attack: Attack,
        *,
        name: str,
        seed: int,
        shape: EvaluationShape,
        device: torch.device,
    ) -> None:
        self._subjects, self._attack, self._name, self._seed = subjects, attack, name, seed
        self._call_rows, self._device = shape.rows, device
        self._targets = attack.targets(subjects.logits, subjects.labels)
        capacity = shape.rows * shape.calls
        self._subject = np.full(capacity, EMPTY)
        self._job = np.zeros(capacity, dtype=np.int64)
        self._iteration = np.zeros(capacity, dtype=np.int64)
        self._keys = torch.zeros(capacity, dtype=torch.int64, device=device)
        self._clean: torch.Tensor | None = None
        self._stream = _checked(images, shape.rows, subjects.ids)
        self._waiting = torch.empty(0)
        self._entered = 0
        self.left = 0
        """Images that came and went."""

    @property
    def jobs(self) -> int:
        """How many jobs an image has."""
        return int(self._targets.shape[1]) * self._attack.restarts

    def fill(self) -> np.ndarray:
        """Puts the next images into the empty rows and returns those rows; their first job is ready to begin."""
        empty = np.flatnonzero(self._subject == EMPTY)
        entering: np.ndarray = empty[: len(self._subjects.ids) - self._entered]
        if len(entering):
            stored = self._read(len(entering))
            if self._clean is None:
                self._clean = stored.new_empty((len(self._subject), *stored.shape[1:]))
                self._attack.allocate(len(self._subject), stored[0])
            self._clean[self._device_index(entering)] = stored
            self._subject[entering] = np.arange(self._entered, self._entered + len(entering))
            self._entered += len(entering)
            self._assign(entering, 0)
        return entering

    def calls(self) -> list[Call]:
        """The occupied rows, cut into calls; rows that want a gradient share calls, so that the others need none."""
        active = np.flatnonzero(self._subject != EMPTY)
        wants = self._attack.wants_gradient(active, self._iteration[active])
        ordered = np.concatenate([active[wants], active[~wants]])
        starts = range(0, len(ordered), self._call_rows)
        total = int(wants.sum())
        return [
            Call(ordered[start : start + self._call_rows], min(max(total - start, 0), self._call_rows))
            for start in starts
        ]

    def rows(self, index: np.ndarray) -> Rows:
        """What an attack may know of these rows."""
        if self._clean is None:
            raise ValueError("the pool was never filled")
        at, place = self._device_index(index), self.place(index)
        return Rows(
            index=at,
            clean=self._clean[at],
            labels=self._device_index(self._subjects.labels[place.subject]),
            targets=self._device_index(place.target),
            iteration=self._device_index(place.iteration),
            keys=self._keys[at],
        )

    def place(self, index: np.ndarray) -> Place:
        """Which job each of these rows is at."""
        subject, job = self._subject[index], self._job[index]
        return Place(
            subject=subject,
            job=job,
            target=self._targets[subject, job % self._targets.shape[1]],
            restart=job // self._targets.shape[1],
            iteration=self._iteration[index],
        )

    def advance(self, index: np.ndarray) -> None:
        """One more query of these rows' jobs was answered."""
        self._iteration[index] += 1

    def leave(self, index: np.ndarray) -> None:
        """These images are decided: their other jobs are dropped and their rows are free."""
        self._subject[index] = EMPTY
        self.left += len(index)

    def next_job(self, index: np.ndarray) -> np.ndarray:
        """Moves rows to their image's next job and returns those; images without one leave."""
        more = self._job[index] + 1 < self.jobs
        self.leave(index[~more])
        going: np.ndarray = index[more]
        self._assign(going, self._job[going] + 1)
        return going

    def close(self) -> None:
        """Stops reading."""
        self._stream.close()

    def _assign(self, index: np.ndarray, job: np.ndarray | int) -> None:
        self._job[index] = job
        self._iteration[index] = 0
        ids, place = self._subjects.ids, self.place(index)
        keys = [
            job_key(self._seed, ids[subject], self._name, target=int(target), restart=int(restart))
            for subject, target, restart in zip(place.subject, place.target, place.restart, strict=True)
        ]
        self._keys[self._device_index(index)] = torch.tensor(keys, dtype=torch.int64, device=self._device)

    def _read(self, count: int) -> torch.Tensor:
        parts = [self._waiting] if len(self._waiting) else []
        while sum(map(len, parts)) < count:
            parts.append(next(self._stream).to(self._device).images)
        together = torch.cat(parts)
        self._waiting = together[count:].clone()
        return together[:count]

    def _device_index(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self._device)


def require_pixels(batch: Batch) -> None:
    """Refuses images that are no pixels in [0, 1].

    Raises:
        InvalidData: a value is NaN or lies outside by more than 1e-6; the first such image is named.
    """
    flat = batch.images.flatten(1)
    inside = ((flat >= -RANGE_TOLERANCE) & (flat <= 1 + RANGE_TOLERANCE)).all(dim=1)
    if not inside.all():
        row = int((~inside).nonzero()[0])
        raise InvalidData(
            f"`{batch.ids[row]}` has values from {flat[row].min():.3g} to {flat[row].max():.3g}; pixels lie in [0, 1]",
            detail="A radius of 8/255 means nothing on images that were normalised before: the model does that itself.",
            remedy="images as stored (uint8, or float in [0, 1]); mean and std go into --preprocess",
        )


def _checked(images: ImageSet, rows: int, ids: tuple[str, ...]) -> Generator[Batch]:
    stream = images.batches(rows, ids)
    try:
        for batch in stream:
            require_pixels(batch)
            yield batch
    finally:
        if isinstance(stream, Generator):  # ends the workers that decode ahead
            stream.close()
