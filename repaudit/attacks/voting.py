"""Searching networks that answer at random: many passes decide, and the last word is a vote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.search import Search
from repaudit.evidence import padded

if TYPE_CHECKING:
    from repaudit.attacks import Rows
    from repaudit.attacks.pool import Call
    from repaudit.attacks.verdict import Answers


@dataclass(slots=True)
class _Candidates:
    """For each row of the pool, the query of its job that most passes misclassified."""

    share: np.ndarray
    margin: np.ndarray
    iteration: np.ndarray
    queries: torch.Tensor


class VotedSearch(Search):
    """A query misclassified once proves nothing here, so no row leaves before its job is done.

    Every query is answered as often as its gradient is averaged; the one that most of those passes misclassified
    is then asked `votes` times anew, and breaks its image if most of these fresh answers are wrong. Fresh, because
    the best of a hundred noisy shares is better than it ought to be.
    """

    _best: _Candidates | None = None

    def _ask(self, call: Call) -> None:
        count = len(call.index)
        rows, groups = self._pool.rows(call.index), self._groups(call)
        query = self._query(rows, groups).requires_grad_(call.wants)
        finished = self._finished(call, groups)
        output = self._asker.ask(query)
        asked = query.detach()[:count]
        passes = [self._asker.judge(self._threat, rows, asked, output.logits.detach()[:count])]
        passes += self._passes(rows, query.detach(), self._samples - 1)
        self._remember(call.index, _together(passes), _share(passes), asked)
        if finished.any():
            self._decide(call.index[finished])
        there = self._pool.occupied(call.index)
        self._go_on(call, rows, groups, there & ~finished, query, output.logits)
        self._pool.advance(call.index[there & ~finished])
        self._begin(self._pool.next_job(call.index[there & finished]))

    def _passes(self, rows: Rows, query: torch.Tensor, count: int) -> list[Answers]:
        """Fresh answers to the same queries, as often as `count`."""
        asked = query[: len(rows)]
        return [
            self._asker.judge(self._threat, rows, asked, self._asker.ask(query).logits[: len(rows)])
            for _ in range(count)
        ]

    def _remember(self, index: np.ndarray, answers: Answers, share: np.ndarray, query: torch.Tensor) -> None:
        best = self._candidates(query)
        iteration = self._pool.place(index).iteration
        begun = index[iteration == 0]
        best.share[begun], best.margin[begun] = -1.0, np.inf
        closer = (share == best.share[index]) & (answers.margin < best.margin[index])
        better = (answers.inside & ((share > best.share[index]) | closer)) | ~answers.finite
        at, ranked = index[better], np.where(answers.finite, share, np.inf)  # an error is never outvoted
        best.share[at], best.margin[at], best.iteration[at] = ranked[better], answers.margin[better], iteration[better]
        place = torch.from_numpy(np.flatnonzero(better)).to(query.device)
        best.queries[torch.from_numpy(at).to(query.device)] = query[place]

    def _decide(self, index: np.ndarray) -> None:
        """The vote on some rows whose jobs are done."""
        rows, place = self._pool.rows(index), self._pool.place(index)
        if self._best is None:
            raise RuntimeError("a job is done that asked nothing")
        candidates = self._best.queries[rows.index]
        passes = self._passes(rows, padded(candidates, self._rows), self._votes)
        answers = replace(_together(passes), wrong=_share(passes) > 0.5)
        ruling = self._outcomes.settle(
            replace(place, iteration=self._best.iteration[index]),
            answers,
            np.ones(len(index), dtype=bool),
            rows=rows,
            query=candidates,
            logits=self._asker.output(candidates).logits,
            features=None,
        )
        self._pool.decide(index[ruling.decided], ruling.staying[ruling.decided])

    def _candidates(self, like: torch.Tensor) -> _Candidates:
        if self._best is None:
            capacity = self._pool.capacity
            self._best = _Candidates(
                np.full(capacity, -1.0),
                np.full(capacity, np.inf),
                np.zeros(capacity, dtype=np.int64),
                like.new_zeros((capacity, *like.shape[1:])),
            )
        return self._best


def _share(passes: list[Answers]) -> np.ndarray:
    share: np.ndarray = np.mean([answers.wrong for answers in passes], axis=0)
    return share


def _together(passes: list[Answers]) -> Answers:
    """Means over the passes; finite only where all are."""
    return replace(
        passes[0],
        finite=np.all([answers.finite for answers in passes], axis=0),
        margin=np.mean([answers.margin for answers in passes], axis=0),
        spread=np.mean([answers.spread for answers in passes], axis=0),
    )
