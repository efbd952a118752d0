"""Runs one attack, or one protocol of several, over many images; it alone asks the network and judges the answers.

Queries are clipped to [0, 1] and nothing else is done to them; a success is a query within the radius that the
network misclassifies, whichever iterate it is. Every call has the same number of rows, so a verdict is the same
beside any neighbours.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.asking import Asker
from repaudit.attacks.checks import unchanged
from repaudit.attacks.ledger import OPEN, Ledger
from repaudit.attacks.outcomes import Outcomes, Wanted
from repaudit.attacks.plan import Plan
from repaudit.attacks.pool import Pool
from repaudit.attacks.rounding import Rounding
from repaudit.attacks.search import Search
from repaudit.attacks.voting import VotedSearch
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Set

    from repaudit.attacks import Setting
    from repaudit.attacks.adversarials import Adversarials
    from repaudit.attacks.intake import Subjects
    from repaudit.attacks.journal import Journal
    from repaudit.attacks.scout import Scout
    from repaudit.attacks.verdict import Evaluation, LastIterates, Witness
    from repaudit.case import EvaluationShape
    from repaudit.classifier import Classifier
    from repaudit.images import ImageSet
    from repaudit.progress import Progress

LARGEST_KEPT = 31 << 20
"""Bytes, just below the largest threshold that glibc adapts to."""
SHORT = 1000
"""Queries an image up to which progress counts images: the first ends soon enough to tell how long the rest takes."""
LOOK_EVERY = 64
"""Rounds of queries after which it is looked up how many are left, which takes a moment with many images."""


def evaluate(
    classifier: Classifier,
    images: ImageSet,
    subjects: Subjects,
    setting: Setting,
    *,
    seed: int,
    shape: EvaluationShape,
    progress: Progress,
    kept: Set[str] = frozenset(),
    witness: Witness | None = None,
    journal: Journal | None = None,
    adversarials: Adversarials | None = None,
    eight_bit: bool = False,
    classes: int | None = None,
    scout: Scout | None = None,
    purpose: str | None = None,
) -> Evaluation:
    """Attacks each image until it is broken or the jobs of the setting are done.

    Args:
        classifier: in eval mode, and left exactly as it was.
        images: read by id, once each, in the order of `subjects`, as rows become free.
        subjects: initially correct images.
        setting: which attack, how far, how long.
        seed: of all noise, with each image's id.
        shape: rows of every call, and how many calls the pool holds. Verdicts depend on `rows` only.
        progress: shows images or queries per second.
        kept: ids whose features under attack are wanted. Of a single attack their first job runs to its last
            iterate even when broken on the way; of a protocol the deciding query is taken. Their verdicts are the
            same as without.
        witness: sees every query of the kept images' first job; for single attacks.
        journal: of jobs that earlier runs finished; those are not searched again, and new ones are added.
        adversarials: takes the deciding queries of broken images.
        eight_bit: asks the network about each adversarial once more, rounded to 8 bits.
        classes: how many of the logits, from the first, are classes a label can have; the others only help to
            search. None: all.
        scout: a faster copy of the network for the search; its successes are asked of the network itself.
        purpose: what progress calls it, where that is not `attack` and the setting's key.

    Raises:
        InvalidData: an image is not in [0, 1].
        InvalidModel: a module is in training mode, or a buffer changed under the attack.
        torch.OutOfMemoryError: the shape is too large for the device.
    """
    wanted = Wanted(
        kept=np.array([name in kept for name in subjects.ids], dtype=bool),
        to_the_end=len(setting.members()) == 1,
        witness=witness,
        adversarials=adversarials,
        journal=journal,
    )
    called = f"attack {setting.key}" if purpose is None else purpose
    work = _Work(classifier, images, subjects, setting, seed, shape, progress, wanted, classes, eight_bit, called)
    ledger = Ledger(len(subjects.ids), Plan(setting.members(), subjects))
    _keep_freed_memory()
    known = work.known(ledger)
    with unchanged(classifier.network), same_kernels(), torch.no_grad():
        if scout is not None and scout.half:
            work.first_in_half(ledger, scout)
        last = work.all_of_it(ledger, None if scout is None or scout.half else scout, known)
    classes_searched = subjects.logits.shape[1]
    return ledger.evaluation(
        setting,
        seed=seed,
        ids=subjects.ids,
        last=last,
        notes=tuple(note for member in setting.members() for note in member.attack.notes(classes_searched)),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One evaluation, in one or two passes."""

    classifier: Classifier
    images: ImageSet
    subjects: Subjects
    setting: Setting
    seed: int
    shape: EvaluationShape
    progress: Progress
    wanted: Wanted
    classes: int | None
    eight_bit: bool
    called: str

    def known(self, ledger: Ledger) -> int:
        """Images about which nothing has to be asked any more, because earlier runs did."""
        return int((~_pending(ledger, self.subjects, self.wanted).any(axis=1)).sum())

    def first_in_half(self, ledger: Ledger, scout: Scout) -> None:
        """Searches by the first member in half precision; what that cannot break is as it was."""
        members = self.setting.members()[:1]
        plan = Plan(members, self.subjects)
        pending = _pending(ledger, self.subjects, self.wanted)[:, : plan.count]
        if self.wanted.to_the_end:
            pending[self.wanted.kept] = False  # their last iterates belong to the search that counts
        self._search(ledger, plan, pending, scout, trust_exhaustion=False, title="in half precision", known=0)
        ledger.forget_exhausted(plan.count)

    def all_of_it(self, ledger: Ledger, scout: Scout | None, known: int) -> LastIterates | None:
        """Searches by every member what is not decided yet; the features of the kept images."""
        plan = Plan(self.setting.members(), self.subjects)
        pending = _pending(ledger, self.subjects, self.wanted)
        self.classifier.work.jobs_known += int((ledger.jobs["code"] != OPEN).sum())
        self.classifier.work.jobs_searched += int(pending.sum())
        found = self._search(ledger, plan, pending, scout, trust_exhaustion=True, title="", known=known)
        return found.last_iterates()

    def _search(
        self,
        ledger: Ledger,
        plan: Plan,
        pending: np.ndarray,
        scout: Scout | None,
        *,
        trust_exhaustion: bool,
        title: str,
        known: int,
    ) -> Outcomes:
        asker = Asker(self.classifier, self.shape.rows, classes=self.classes, scout=scout)
        wanted = replace(
            self.wanted, rounding=Rounding(asker, self.shape.rows, self.classes) if self.eight_bit else None
        )
        outcomes = Outcomes(ledger, wanted, self.subjects.ids, asker, trust_exhaustion)
        device = self.classifier.device
        pool = Pool(plan, self.subjects, self.images, pending=pending, seed=self.seed, shape=self.shape, device=device)
        kind = Search if self.setting.votes == 1 else VotedSearch
        search = kind(asker, plan, pool, outcomes, rows=self.shape.rows, votes=self.setting.votes)
        name = f"{self.called} {title}".rstrip()
        with closing(pool), self._stage(name, pool, plan, known) as advance:
            while asked := search.round():
                advance(asked)
            outcomes.flush()
        return outcomes

    @contextmanager
    def _stage(self, name: str, pool: Pool, plan: Plan, known: int) -> Iterator[Callable[[int], None]]:
        """Shows images of a short attack; else queries, because one image can take thousands."""
        before, n = pool.left, len(self.subjects.ids)
        if before == n > 0:
            if known == n:
                self.progress.note(f"{name}: all {n:,} images known from before")
            yield lambda _: None
            return
        if known:
            name = f"{name} ({known:,} of {n:,} images known from before)"
        single = len(plan.members) == 1 and int(plan.queries.sum()) <= SHORT
        total = n - before if single else pool.outstanding()
        done = rounds = 0
        with self.progress.stage(name, total, "images" if single else "queries") as stage:

            def advance(asked: int) -> None:
                nonlocal done, rounds, total
                now = pool.left - before if single else done + asked
                stage.advance(now - done)
                done, rounds = now, rounds + 1
                if not single and rounds % LOOK_EVERY == 0:
                    spared = total - done - pool.outstanding()
                    stage.spare(spared)
                    total -= spared

            yield advance
            stage.spare(total - done)


def _keep_freed_memory() -> None:
    """Has glibc keep what every call frees and the next one needs again.

    Once a block of this size was freed, blocks up to it are no longer given back to the system each time: a fifth of
    FAB's time went into faulting the same pages in again.
    """
    block = torch.empty(LARGEST_KEPT, dtype=torch.uint8)
    del block


def _pending(ledger: Ledger, subjects: Subjects, wanted: Wanted) -> np.ndarray:
    """(n, j) jobs to search: what the journal does not hold, and what is wanted of jobs that it holds."""
    if wanted.journal is not None:
        ledger.restore(wanted.journal.entries, subjects.ids)
    deciding = ledger.decisive()
    again = np.flatnonzero(wanted.kept & wanted.to_the_end)
    ledger.reopen(again, np.zeros_like(again))
    broken = np.flatnonzero((deciding < ledger.jobs.shape[1]) & ~(wanted.kept & wanted.to_the_end))
    if wanted.adversarials is None:
        broken = broken[wanted.kept[broken]]
    else:
        broken = broken[[not wanted.adversarials.has(subjects.ids[row]) for row in broken]]
    ledger.reopen(broken, deciding[broken])
    # what was reopened may decide otherwise this time: only what is decided now spares later jobs
    undecided = np.arange(ledger.jobs.shape[1]) <= ledger.decisive()[:, None]
    pending: np.ndarray = (ledger.jobs["code"] == OPEN) & undecided
    return pending
