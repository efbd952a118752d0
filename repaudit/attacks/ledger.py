"""What is known of every job so far, and the verdicts that follow.

The verdict on an image is that of its first job, in the plan's order, that decided anything: a job that is
searched beside an earlier one can end sooner, but it can never be the one that counts. So records do not
depend on how many jobs ran at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.verdict import CODES, MARGINAL, Evaluation, Gradients, LastIterates, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.attacks import Setting
    from repaudit.attacks.journal import Entry
    from repaudit.attacks.plan import Place, Plan
    from repaudit.attacks.verdict import Answers

OPEN = -1
"""The code of a job that has not ended."""
EXHAUSTED = CODES[Outcome.ROBUST]
"""The code of a job that ended without a success."""
RECORD = np.dtype(
    [
        ("code", np.int8),
        ("iteration", np.int32),
        ("margin", np.float64),
        ("size", np.float64),
        ("spread", np.float64),
        ("gain", np.float64),
        ("gradients", np.int32),
        ("zero", np.int32),
        ("nonfinite", np.int32),
        ("eight_bit", np.int8),
    ]
)
"""One job: how it ended, and its deciding query, which is the first success, the first error or the smallest margin."""
BLANK = np.array((OPEN, 0, np.inf, np.inf, np.inf, np.nan, 0, 0, 0, -1), dtype=RECORD)
"""Of a job that has asked nothing."""


class Ledger:
    """Records of n images × j jobs."""

    def __init__(self, n: int, plan: Plan) -> None:
        self._plan = plan
        self.jobs = np.full((n, plan.count), BLANK)
        """(n, j) of `RECORD`."""
        self._start = np.full(n, np.nan)

    def decisive(self) -> np.ndarray:
        """(n,) int64: the first job that decided each image, j where none did."""
        decided = (self.jobs["code"] == CODES[Outcome.BROKEN]) | (self.jobs["code"] == CODES[Outcome.ERROR])
        first: np.ndarray = np.where(decided.any(axis=1), decided.argmax(axis=1), self._plan.count)
        return first

    def record(self, place: Place, answers: Answers) -> np.ndarray:
        """Takes the answers to one query of each of r different jobs; (r,) bool: those that it decided.

        Nothing changes in a job that had ended.
        """
        at = (place.subject, place.job)
        before = self.jobs[at]
        live = before["code"] == OPEN
        error = live & ~answers.finite
        counts = live & answers.finite & answers.inside
        broken = counts & answers.wrong
        taken = error | broken | (counts & (answers.margin < before["margin"]))
        seen = {
            "code": np.select([error, broken], [CODES[Outcome.ERROR], CODES[Outcome.BROKEN]], OPEN),
            "iteration": place.iteration,
            "margin": np.where(answers.finite, answers.margin, np.nan),
            "size": answers.size,
            "spread": answers.spread,
        }
        chosen = (place.subject[taken], place.job[taken])
        for name, values in seen.items():
            self.jobs[name][chosen] = values[taken]
        decided: np.ndarray = error | broken
        return decided

    def count_gradients(self, place: Place, largest: np.ndarray) -> None:
        """Counts gradients of jobs that have not ended.

        Args:
            place: of the rows.
            largest: (r,) largest absolute value of each gradient.
        """
        live = self.jobs["code"][place.subject, place.job] == OPEN
        at = (place.subject[live], place.job[live])
        self.jobs["gradients"][at] += 1
        self.jobs["zero"][at] += largest[live] == 0
        self.jobs["nonfinite"][at] += ~np.isfinite(largest[live])

    def count_objective(self, place: Place, objective: np.ndarray) -> None:
        """Follows how far the objective (r,) of each image's first job has risen, until that job ends."""
        first = (place.job == 0) & (self.jobs["code"][place.subject, 0] == OPEN)
        subject, value = place.subject[first], objective[first]
        start = place.iteration[first] == 0
        self._start[subject[start]] = value[start]
        rising, gain = subject[~start], self.jobs["gain"][:, 0]
        gain[rising] = np.fmax(gain[rising], np.maximum(value[~start] - self._start[rising], 0))

    def exhaust(self, place: Place) -> np.ndarray:
        """These jobs had their last query; (r,) bool: those that ended by it."""
        codes = self.jobs["code"]
        ended: np.ndarray = codes[place.subject, place.job] == OPEN
        codes[place.subject[ended], place.job[ended]] = EXHAUSTED
        return ended

    def restore(self, entries: Sequence[Entry], ids: Sequence[str]) -> None:
        """Takes records that earlier runs left; those of other images are passed over."""
        place = {name: row for row, name in enumerate(ids)}
        for entry in entries:
            if entry.id in place and entry.job < self._plan.count:
                self.jobs[place[entry.id], entry.job] = entry.record

    def reopen(self, subject: np.ndarray, job: np.ndarray) -> None:
        """These jobs are searched again, from nothing."""
        self.jobs[subject, job] = BLANK

    def forget_exhausted(self, count: int) -> None:
        """Reopens the first `count` jobs of each image where they ended without a success."""
        first = self.jobs[:, :count]
        first[first["code"] == EXHAUSTED] = BLANK

    def evaluation(
        self, setting: Setting, *, seed: int, ids: tuple[str, ...], last: LastIterates | None, notes: tuple[str, ...]
    ) -> Evaluation:
        """The verdicts, once every image is decided or all its jobs have ended.

        Raises:
            RuntimeError: an attack never asked anything within the threat about some image.
        """
        rows, first = np.arange(len(ids)), self.decisive()
        robust = first == self._plan.count
        with np.errstate(invalid="ignore"):
            nearest = np.where(np.isnan(self.jobs["margin"]), np.inf, self.jobs["margin"]).argmin(axis=1)
        job = np.where(robust, nearest, first)
        deciding = self.jobs[rows, job]
        unasked = np.flatnonzero(np.isinf(deciding["margin"]))
        if len(unasked):
            raise RuntimeError(f"attack `{setting.key}` asked nothing within its threat about `{ids[unasked[0]]}`")
        with np.errstate(invalid="ignore"):  # an error's margin is NaN, which is never marginal
            marginal = np.abs(deciding["margin"]) < MARGINAL * deciding["spread"]
        return Evaluation(
            setting=setting,
            seed=seed,
            ids=ids,
            outcome=np.where(robust, EXHAUSTED, deciding["code"]).astype(np.int8),
            members=tuple(member.key for member in self._plan.members),
            member=self._plan.member[job],
            target=self._plan.target(rows, job),
            restart=self._plan.restart[job],
            iteration=deciding["iteration"].astype(np.int64),
            margin=deciding["margin"].copy(),
            perturbation=deciding["size"].copy(),
            marginal=marginal,
            gain=self.jobs["gain"][:, 0].copy(),
            eight_bit=np.where(robust, -1, deciding["eight_bit"]).astype(np.int8),
            notes=notes,
            last=last,
            gradients=self._gradients(np.where(robust, self._plan.count, first + 1)),
        )

    def _gradients(self, jobs: np.ndarray) -> Gradients:
        """Over the first `jobs` (n,) of each image: what ran beside them is no part of the verdict."""
        counted = np.arange(self._plan.count) < jobs[:, None]
        return Gradients(*(int(self.jobs[name][counted].sum()) for name in ("gradients", "zero", "nonfinite")))
