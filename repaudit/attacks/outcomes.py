"""What is kept of a search: records, and whatever somebody wanted beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.journal import Entry
from repaudit.attacks.ledger import OPEN
from repaudit.attacks.rounding import on_grid
from repaudit.attacks.verdict import CODES, LastIterates, Outcome

if TYPE_CHECKING:
    from repaudit.attacks import Rows
    from repaudit.attacks.adversarials import Adversarials
    from repaudit.attacks.asking import Asker
    from repaudit.attacks.journal import Journal
    from repaudit.attacks.ledger import Ledger
    from repaudit.attacks.plan import Place
    from repaudit.attacks.rounding import Rounding
    from repaudit.attacks.verdict import Answers, Witness

BROKEN = CODES[Outcome.BROKEN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody wants of a search beside its verdicts."""

    kept: np.ndarray
    """(n,) bool: images whose features under attack are wanted."""
    to_the_end: bool
    """Their first job runs to its last query although broken; otherwise their deciding queries are taken."""
    witness: Witness | None = None
    rounding: Rounding | None = None
    adversarials: Adversarials | None = None
    journal: Journal | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows for some rows; each (r,) bool."""

    decided: np.ndarray
    """Their job has just decided their image."""
    staying: np.ndarray
    """They go on although their job is decided."""
    over: np.ndarray
    """They stayed, and have no reason to any more."""


@dataclass
class Outcomes:
    """Takes every answer; knows nothing of rows and calls."""

    ledger: Ledger
    wanted: Wanted
    ids: tuple[str, ...]
    asker: Asker
    trust_exhaustion: bool = True
    """A job that ended without a success is done with, and goes into the journal."""
    _features: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict)

    def settle(
        self,
        place: Place,
        answers: Answers,
        finished: np.ndarray,
        *,
        rows: Rows,
        query: torch.Tensor,
        logits: torch.Tensor,
        features: torch.Tensor | None,
    ) -> Ruling:
        """Takes the answers to one query of each of r different jobs.

        Args:
            place: which jobs these are.
            answers: (r,), judged.
            finished: (r,) bool, the query was the job's last.
            rows: (r), what was attacked.
            query: (r, c, h, w), what was asked.
            logits: (r, k) answers.
            features: (r, d), or None where they are not at hand.
        """
        settled = self.ledger.jobs["code"][place.subject, place.job] != OPEN
        decided = self.ledger.record(place, answers)
        watched = self.wanted.kept[place.subject] & (place.job == 0) & answers.finite & self.wanted.to_the_end
        if watched.any():
            self._watch(place, watched, finished, query, logits, features)
        self._take(place, decided & answers.finite, rows, query)
        ended = decided.copy()
        if finished.any():
            ended[finished] |= self.ledger.exhaust(_some(place, finished))
        self._write(_some(place, ended & ~(decided & answers.finite) if self.wanted.rounding else ended))
        staying = watched & ~finished
        return Ruling(decided, staying, settled & ~staying)

    def saw_gradient(self, place: Place, largest: np.ndarray, objective: np.ndarray) -> None:
        """Takes the largest absolute value of some gradients, and the objectives they belong to; (r,) each."""
        self.ledger.count_gradients(place, largest)
        self.ledger.count_objective(place, objective)

    def flush(self) -> None:
        """Asks about the adversarials that still wait for their 8-bit verdict."""
        self._round(to_the_end=True)

    def last_iterates(self) -> LastIterates | None:
        """Features of the kept images, None without a linear head."""
        split = self.asker.classifier.split
        if split is None:
            return None
        position = np.array(sorted(self._features), dtype=np.int64)
        rows = [self._features[row][1] for row in position.tolist()]
        width = int(split.weight.shape[1])
        return LastIterates(position, np.stack(rows) if rows else np.empty((0, width), dtype=np.float32))

    def _watch(
        self,
        place: Place,
        watched: np.ndarray,
        finished: np.ndarray,
        query: torch.Tensor,
        logits: torch.Tensor,
        features: torch.Tensor | None,
    ) -> None:
        at = torch.from_numpy(np.flatnonzero(watched)).to(query.device)
        seen = self._features_of(query[at]) if features is None else features[at].cpu().numpy()
        subject = place.subject[watched]
        if self.wanted.witness is not None:
            self.wanted.witness.saw(subject, place.iteration[watched], seen, logits[at].cpu().numpy())
        if seen is not None:
            for row in np.flatnonzero(finished[watched]):
                self._features[int(subject[row])] = (0, seen[row])

    def _take(self, place: Place, broken: np.ndarray, rows: Rows, query: torch.Tensor) -> None:
        """What is wanted of the queries that broke an image."""
        if not broken.any():
            return
        positions = np.flatnonzero(broken)
        at = torch.from_numpy(positions).to(query.device)
        queries, subject, job = query[at], place.subject[positions], place.job[positions]
        kept = np.flatnonzero(self.wanted.kept[subject])
        if not self.wanted.to_the_end and len(kept):
            seen = self._features_of(queries[torch.from_numpy(kept).to(query.device)])
            for row, feature in zip(kept, [] if seen is None else seen, strict=seen is not None):
                self._keep(int(subject[row]), int(job[row]), feature)
        if self.wanted.adversarials is not None:
            self.wanted.adversarials.take([self.ids[row] for row in subject], job, queries.cpu().numpy())
        if self.wanted.rounding is not None:
            some = rows.select(at)
            stored = on_grid(some.clean)
            kept_at, whole = stored.nonzero().squeeze(1), stored.cpu().numpy()
            self.wanted.rounding.add(
                subject[whole], job[whole], some.clean[kept_at], queries[kept_at], some.labels[kept_at]
            )
            self._write_jobs(subject[~whole], job[~whole])
            self._round(to_the_end=False)

    def _keep(self, subject: int, job: int, feature: np.ndarray) -> None:
        """An earlier job's success counts before a later one's, whichever came first."""
        if subject not in self._features or job < self._features[subject][0]:
            self._features[subject] = (job, feature)

    def _round(self, *, to_the_end: bool) -> None:
        if self.wanted.rounding is None:
            return
        answered = self.wanted.rounding.answered(to_the_end=to_the_end)
        self.ledger.jobs["eight_bit"][answered.subject, answered.job] = answered.wrong
        self._write_jobs(answered.subject, answered.job)

    def _write(self, place: Place) -> None:
        exhausted = self.ledger.jobs["code"][place.subject, place.job] == CODES[Outcome.ROBUST]
        kept = ~exhausted | self.trust_exhaustion
        self._write_jobs(place.subject[kept], place.job[kept])

    def _write_jobs(self, subject: np.ndarray, job: np.ndarray) -> None:
        if self.wanted.journal is not None:
            self.wanted.journal.write(
                [
                    Entry(self.ids[image], int(number), self.ledger.jobs[image, number])
                    for image, number in zip(subject, job, strict=True)
                ]
            )

    def _features_of(self, query: torch.Tensor) -> np.ndarray | None:
        found = self.asker.output(query).features
        return None if found is None else found.cpu().numpy()


def _some(place: Place, chosen: np.ndarray) -> Place:
    return type(place)(subject=place.subject[chosen], job=place.job[chosen], iteration=place.iteration[chosen])
