"""A fixed number of rows, each with one job at a time: who is in, who goes next.

An image enters with its first job; when that ends without a success its row takes the next one. Once no image
waits, rows that would only be padding take further jobs of the images still under way. The pool knows nothing
of networks and judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks import Rows
from repaudit.attacks.intake import Intake
from repaudit.attacks.noise import job_key

if TYPE_CHECKING:
    from repaudit.attacks import Member
    from repaudit.attacks.intake import Subjects
    from repaudit.case import EvaluationShape
    from repaudit.images import ImageSet

EMPTY = -1


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
        queries = np.array([each.attack.steps + 1 for each in members], dtype=np.int64)
        self.queries = int(queries[self.member].sum())
        """Queries an image, about as many as it can take."""

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


@dataclass(frozen=True, slots=True)
class Call:
    """The pool's rows that one call of the network takes."""

    index: np.ndarray
    """(r,) rows of the pool: those that want a gradient first, within that member by member."""
    wants: np.ndarray
    """(r,) bool: rows that want one."""


class Pool:
    """The rows, filled from a stream of images that is read once, in order."""

    def __init__(
        self,
        plan: Plan,
        subjects: Subjects,
        images: ImageSet,
        *,
        pending: np.ndarray,
        seed: int,
        shape: EvaluationShape,
        device: torch.device,
    ) -> None:
        """Rows for the jobs that `pending` (n, j) marks; an image without one never enters."""
        self._plan, self._subjects, self._seed, self._device = plan, subjects, seed, device
        self._call_rows = shape.rows
        capacity = shape.rows * shape.calls
        self._pending = pending.copy()
        self._bound = np.full(len(subjects.ids), plan.count)
        self._running = np.zeros(len(subjects.ids), dtype=np.int64)
        self._subject = np.full(capacity, EMPTY)
        self._job = np.zeros(capacity, dtype=np.int64)
        self._iteration = np.zeros(capacity, dtype=np.int64)
        self._staying = np.zeros(capacity, dtype=bool)
        self._known: dict[bytes, Rows] = {}
        self._keys = torch.zeros(capacity, dtype=torch.int64, device=device)
        self._clean: torch.Tensor | None = None
        order = np.flatnonzero(pending.any(axis=1))
        self._order, self._entered = order, 0
        self.intake = Intake(images, tuple(subjects.ids[row] for row in order), shape.rows, device)
        self.left = len(subjects.ids) - len(order)
        """Images that came and went."""

    @property
    def capacity(self) -> int:
        """How many rows there are."""
        return len(self._subject)

    def fill(self) -> np.ndarray:
        """Gives empty rows something to do and returns them; their jobs are ready to begin."""
        empty = np.flatnonzero(self._subject == EMPTY)
        if self._entered == len(self._order):
            return self._share_out(empty)
        entering: np.ndarray = empty[: len(self._order) - self._entered]
        if len(entering):
            stored = self.intake.take(len(entering))
            if self._clean is None:
                self._clean = stored.new_empty((len(self._subject), *stored.shape[1:]))
                for member in self._plan.members:
                    member.attack.allocate(len(self._subject), stored[0])
            self._clean.index_copy_(0, self._on_device(entering), stored)
            subject = self._order[self._entered : self._entered + len(entering)]
            self._entered += len(entering)
            self._assign(entering, subject, self._pending[subject].argmax(axis=1))
        return entering

    def calls(self) -> list[Call]:
        """The occupied rows, cut into calls; rows that want a gradient share calls, so that the others need none."""
        active = np.flatnonzero(self._subject != EMPTY)
        member = self._plan.member[self._job[active]]
        wants = np.zeros(len(active), dtype=bool)
        for number in np.unique(member):
            mine = member == number
            attack = self._plan.members[number].attack
            wants[mine] = attack.wants_gradient(active[mine], self._iteration[active[mine]])
        order = np.lexsort((active, member, ~wants))
        return [
            Call(active[order[start : start + self._call_rows]], wants[order[start : start + self._call_rows]])
            for start in range(0, len(active), self._call_rows)
        ]

    def still(self, call: Call) -> Call:
        """The call without rows that earlier calls of the same round have freed."""
        there = self.occupied(call.index)
        return call if there.all() else Call(call.index[there], call.wants[there])

    def rows(self, index: np.ndarray) -> Rows:
        """What an attack may know of these rows."""
        name = index.tobytes()
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._look_up(index)
        return replace(known, iteration=self._on_device(self._iteration[index]))

    def place(self, index: np.ndarray) -> Place:
        """Which job each of these rows is at."""
        return Place(subject=self._subject[index], job=self._job[index], iteration=self._iteration[index])

    def member(self, index: np.ndarray) -> np.ndarray:
        """(r,): which member of the plan each of these rows works for."""
        belongs: np.ndarray = self._plan.member[self._job[index]]
        return belongs

    def advance(self, index: np.ndarray) -> None:
        """One more query of these rows' jobs was answered."""
        self._iteration[index] += 1

    def decide(self, index: np.ndarray, staying: np.ndarray) -> None:
        """These rows' jobs decided their images: later jobs of those are dropped, wherever they are.

        Args:
            index: (r,) rows.
            staying: (r,) bool: rows that go on all the same, until their job is finished.
        """
        if not len(index):
            return
        self._staying[index] = staying
        subject = self._subject[index]
        np.minimum.at(self._bound, subject, self._job[index])
        for image in np.unique(subject):
            self._pending[image, self._bound[image] :] = False
        occupied = np.flatnonzero((self._subject != EMPTY) & ~self._staying)
        dropped = occupied[self._job[occupied] >= self._bound[self._subject[occupied]]]
        if len(dropped):
            self._free(dropped)

    def occupied(self, index: np.ndarray) -> np.ndarray:
        """(r,) bool: rows that still have a job."""
        there: np.ndarray = self._subject[index] != EMPTY
        return there

    def next_job(self, index: np.ndarray) -> np.ndarray:
        """Moves rows on to their image's next job and returns those; rows without one are free."""
        if not len(index):
            return index
        going = np.zeros(len(index), dtype=bool)
        for position in np.flatnonzero(self._pending[self._subject[index]].any(axis=1)):
            row, subject = index[position : position + 1], self._subject[index[position : position + 1]]
            if self._pending[subject].any():  # another row of the image may just have taken its last one
                self._assign(row, subject, self._pending[subject].argmax(axis=1), moved=True)
                going[position] = True
        if not going.all():
            self._free(index[~going])
        begun: np.ndarray = index[going]
        return begun

    def close(self) -> None:
        """Stops reading."""
        self.intake.close()

    def _look_up(self, index: np.ndarray) -> Rows:
        """All but the iteration, which alone changes while the same jobs stay together in a call."""
        if self._clean is None:
            raise ValueError("the pool was never filled")
        at, place = self._on_device(index), self.place(index)
        numbers = np.stack([self._subjects.labels[place.subject], self._plan.target(place.subject, place.job)])
        labels, targets = self._on_device(numbers)
        return Rows(at, self._clean.index_select(0, at), labels, targets, at, self._keys.index_select(0, at))

    def _share_out(self, empty: np.ndarray) -> np.ndarray:
        """Gives rows that would pad the last call to jobs of the images that fewest rows work for."""
        active = np.flatnonzero(self._subject != EMPTY)
        spare = -len(active) % self._call_rows
        if not spare or self._clean is None:
            return empty[:0]
        under_way = np.unique(self._subject[active])
        under_way = under_way[self._pending[under_way].any(axis=1)]
        taken = 0
        while taken < spare and len(under_way):
            under_way = under_way[np.argsort(self._running[under_way], kind="stable")]
            some = under_way[: spare - taken]
            rows = empty[taken : taken + len(some)]
            home = np.array([active[np.flatnonzero(self._subject[active] == image)[0]] for image in some])
            self._clean[self._on_device(rows)] = self._clean[self._on_device(home)]
            self._assign(rows, some, self._pending[some].argmax(axis=1))
            taken += len(some)
            under_way = under_way[self._pending[under_way].any(axis=1)]
        return empty[:taken]

    def _assign(self, index: np.ndarray, subject: np.ndarray, job: np.ndarray, *, moved: bool = False) -> None:
        self._known.clear()
        self._subject[index], self._job[index], self._iteration[index] = subject, job, 0
        self._staying[index] = False
        self._pending[subject, job] = False
        if not moved:
            self._running[subject] += 1
        target, ids = self._plan.target(subject, job), self._subjects.ids
        keys = [
            job_key(
                self._seed,
                ids[image],
                self._plan.members[self._plan.member[number]].name,
                target=int(aim),
                restart=int(self._plan.restart[number]),
            )
            for image, number, aim in zip(subject, job, target, strict=True)
        ]
        self._keys[self._on_device(index)] = torch.tensor(keys, dtype=torch.int64, device=self._device)

    def _free(self, index: np.ndarray) -> None:
        self._known.clear()
        subject = self._subject[index]
        np.subtract.at(self._running, subject, 1)
        self._subject[index] = EMPTY
        self.left += int((self._running[np.unique(subject)] == 0).sum())

    def _on_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self._device)
