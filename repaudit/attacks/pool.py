"""A fixed number of rows, each with one job at a time: who is in, who goes next.

An image enters with its first job; when that ends without a success its row takes the next one. Once no image
waits and no call is whole, rows that would only be padding take further jobs of the images still under way. The
pool knows nothing of networks and judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks import Rows
from repaudit.attacks.intake import Intake
from repaudit.attacks.noise import job_key
from repaudit.attacks.plan import Place

if TYPE_CHECKING:
    from repaudit.attacks.intake import Subjects
    from repaudit.attacks.plan import Plan
    from repaudit.case import EvaluationShape
    from repaudit.images import ImageSet

EMPTY = -1
TURN = 32
"""Queries after which a row may have to let others go first; as long, the same rows stay together in a call."""
MOST_KNOWN = 2
"""Compositions of calls that are remembered, as a multiple of those that the pool has at a time."""


@dataclass(frozen=True, slots=True)
class Call:
    """The pool's rows that one call of the network takes: all want a gradient, or none does."""

    index: np.ndarray
    """(r,) rows of the pool, member by member."""
    wants: bool


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
        # rows that want a gradient and rows that do not fill calls of their own: with one call's rows none were whole
        capacity = shape.rows * max(shape.calls, 2)
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
        self._round, self._calls_left = 0, np.inf
        self.intake = Intake(images, tuple(subjects.ids[row] for row in order), shape.rows, device)
        self.left = len(subjects.ids) - len(order)
        """Images that came and went."""

    @property
    def capacity(self) -> int:
        """How many rows there are."""
        return len(self._subject)

    def outstanding(self) -> int:
        """About how many queries are still to be asked, if no image breaks any more."""
        active = np.flatnonzero(self._subject != EMPTY)
        under_way = self._plan.queries[self._job[active]] - self._iteration[active]
        return int(self._pending.sum(axis=0) @ self._plan.queries) + int(under_way.sum())

    def fill(self) -> np.ndarray:
        """Lets waiting images into empty rows and returns those; their jobs are ready to begin."""
        waiting = len(self._order) - self._entered
        if not waiting:
            return self._order[:0]
        entering: np.ndarray = np.flatnonzero(self._subject == EMPTY)[:waiting]
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
        """The next calls: whole ones, or a short one where there are not enough rows for any.

        Rows that want a gradient and rows that do not never share a call, so that the latter cost no backward pass.
        Rows that no whole call takes wait, unless they have more queries ahead of them, one after another, than
        all rows together have whole calls: they would be asked alone in the end. Those whose images have the most
        left to do go first for the same reason.
        """
        lanes, size = self._lanes(), self._call_rows
        calls = [
            Call(self._by_member(lane[start : start + size]), wants)
            for lane, wants in lanes
            for start in range(0, len(lane) - size + 1, size)
        ]
        if calls:
            late = [(lane, wants) for lane, wants in lanes if 0 < len(lane) < size and self._is_late(lane[0])]
        else:
            late = [max(lanes, key=lambda lane: len(lane[0]))]
        return calls + [Call(self._by_member(lane), wants) for lane, wants in late if len(lane)]

    def share_out(self, missing: int) -> np.ndarray:
        """Gives up to so many empty rows to jobs of the images that fewest rows work for, and returns those rows."""
        active = np.flatnonzero(self._subject != EMPTY)
        under_way = np.unique(self._subject[active])
        under_way = under_way[self._pending[under_way].any(axis=1)]
        empty = np.flatnonzero(self._subject == EMPTY)
        missing = min(missing, len(empty))
        taken = 0
        while taken < missing and len(under_way) and self._clean is not None:
            under_way = under_way[np.argsort(self._running[under_way], kind="stable")]
            some = under_way[: missing - taken]
            rows = empty[taken : taken + len(some)]
            home = np.array([active[np.flatnonzero(self._subject[active] == image)[0]] for image in some])
            self._clean[self._on_device(rows)] = self._clean[self._on_device(home)]
            self._assign(rows, some, self._pending[some].argmax(axis=1))
            taken += len(some)
            under_way = under_way[self._pending[under_way].any(axis=1)]
        return empty[:taken]

    def still(self, call: Call) -> Call:
        """The call without rows that earlier calls of the same round have freed."""
        there = self.occupied(call.index)
        return call if there.all() else Call(call.index[there], call.wants)

    def rows(self, index: np.ndarray) -> Rows:
        """What an attack may know of these rows."""
        name = index.tobytes()
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= MOST_KNOWN * self.capacity // self._call_rows:
                self._known.clear()  # each holds a call's images
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

    def _lanes(self) -> tuple[tuple[np.ndarray, bool], tuple[np.ndarray, bool]]:
        """The occupied rows that want a gradient, and those that do not; each with the most left to do first."""
        active = np.flatnonzero(self._subject != EMPTY)
        job, iteration = self._job[active], self._iteration[active]
        member = self._plan.member[job]
        wants = np.zeros(len(active), dtype=bool)
        for number in np.unique(member):
            mine = member == number
            wants[mine] = self._plan.members[number].attack.wants_gradient(active[mine], iteration[mine])
        turns = (self._plan.ahead[job] - iteration) // TURN
        order = np.argsort(-turns, kind="stable")
        ordered, wants = active[order], wants[order]
        return (ordered[wants], True), (ordered[~wants], False)

    def _is_late(self, row: int) -> bool:
        """This row's image has more ahead of it than there are whole calls left."""
        if self._entered < len(self._order):
            return False
        if self._round % TURN == 0:
            self._calls_left = self.outstanding() / self._call_rows
        self._round += 1
        return bool(self._plan.ahead[self._job[row]] - self._iteration[row] >= self._calls_left)

    def _by_member(self, index: np.ndarray) -> np.ndarray:
        sorted_rows: np.ndarray = index[np.lexsort((index, self.member(index)))]
        return sorted_rows

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
