"""Jobs under way: what is asked for each row, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.threat import largest
from repaudit.foreign import contained

if TYPE_CHECKING:
    from repaudit.attacks import Attack, Rows
    from repaudit.attacks.asking import Asker
    from repaudit.attacks.outcomes import Outcomes
    from repaudit.attacks.plan import Plan
    from repaudit.attacks.pool import Call, Pool


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one call that work for one attack."""

    attack: Attack
    part: slice
    """Their places in the call."""


@dataclass(frozen=True, slots=True)
class Going:
    """The rows of a group whose job goes on."""

    group: Group
    positions: np.ndarray
    """Their places in the call."""
    at: torch.Tensor | slice
    """The same, as an index of tensors: a slice where the whole group goes on."""
    rows: Rows


class Search:
    """Rounds of queries, one for every row of the pool each."""

    def __init__(self, asker: Asker, plan: Plan, pool: Pool, outcomes: Outcomes, *, rows: int, votes: int) -> None:
        self._asker, self._plan, self._pool, self._outcomes = asker, plan, pool, outcomes
        self._rows, self._votes = rows, votes
        self._threat = plan.members[0].attack.threat
        (self._samples,) = {member.attack.samples for member in plan.members}

    def round(self) -> int:
        """Fills the pool and asks the queries of its next calls; how many were asked, 0 when nobody is left."""
        self._begin(self._pool.fill())
        calls, asked = self._pool.calls(), 0
        missing = sum(self._rows - len(call.index) for call in calls)
        if missing:
            added = self._pool.share_out(missing)
            if len(added):
                self._begin(added)
                calls = self._pool.calls()
        for planned in calls:
            call = self._pool.still(planned)
            if len(call.index):
                self._ask(call)
                asked += len(call.index)
        return asked

    def _ask(self, call: Call) -> None:
        count = len(call.index)
        rows, groups = self._pool.rows(call.index), self._groups(call)
        query = self._query(rows, groups).requires_grad_(call.wants)
        output = self._asker.ask(query)
        asked, logits = query.detach()[:count], output.logits.detach()[:count]
        answers = self._asker.judge(self._threat, rows, asked, logits)
        finished = self._finished(call, groups)
        features = None if output.features is None else output.features.detach()[:count]
        ruling = self._outcomes.settle(
            self._pool.place(call.index), answers, finished, rows=rows, query=asked, logits=logits, features=features
        )
        self._pool.decide(call.index[ruling.decided], ruling.staying[ruling.decided])
        there, over = self._pool.occupied(call.index), finished | ruling.over
        self._go_on(call, rows, groups, there & ~over, query, output.logits)
        self._pool.advance(call.index[there & ~over])
        self._begin(self._pool.next_job(call.index[there & over]))

    def _query(self, rows: Rows, groups: list[Group]) -> torch.Tensor:
        """What the attacks propose, as pixels, filled up to a full call."""
        proposed = [group.attack.propose(rows.select(group.part)) for group in groups]
        missing = self._rows - len(rows)
        if missing:
            proposed.append(proposed[0][:1].expand(missing, *proposed[0].shape[1:]))
        return proposed[0].clamp(0, 1) if len(proposed) == 1 else torch.cat(proposed).clamp_(0, 1)

    def _finished(self, call: Call, groups: list[Group]) -> np.ndarray:
        iteration = self._pool.place(call.index).iteration
        parts = [(group.attack, group.part) for group in groups]
        return np.concatenate([attack.finished(call.index[part], iteration[part]) for attack, part in parts])

    def _groups(self, call: Call) -> list[Group]:
        """Calls are sorted by these already."""
        member = self._pool.member(call.index)
        starts = [0, *(np.flatnonzero(np.diff(member)) + 1).tolist()]
        return [
            Group(self._plan.members[member[start]].attack, slice(start, stop))
            for start, stop in zip(starts, [*starts[1:], len(member)], strict=True)
        ]

    def _begin(self, index: np.ndarray) -> None:
        if not len(index):
            return
        member = self._pool.member(index)
        for number in np.unique(member):
            self._plan.members[number].attack.begin(self._pool.rows(index[member == number]))

    def _go_on(
        self,
        call: Call,
        rows: Rows,
        groups: list[Group],
        going: np.ndarray,
        query: torch.Tensor,
        logits: torch.Tensor,
    ) -> None:
        """Tells the attacks what the network answered about those rows whose job goes on."""
        alive = [each for each in (_going(group, rows, going) for group in groups) if len(each.positions)]
        if not call.wants:
            for each in alive:
                each.group.attack.update(each.rows, logits.detach()[each.at], None, None)
            return
        objectives, slope = self._ascend(alive, query, logits)
        for each, objective in zip(alive, objectives, strict=True):
            gradient = slope[each.at] if isinstance(each.at, slice) else slope.index_select(0, each.at)
            figures = torch.stack([largest(gradient.flatten(1)).double(), objective.double()])
            steepest, reached = figures.cpu().numpy()  # one transfer
            self._outcomes.saw_gradient(self._pool.place(call.index[each.positions]), steepest, reached)
            if not np.isfinite(steepest).all():
                gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
            each.group.attack.update(each.rows, logits.detach()[each.at], objective, gradient)

    def _ascend(
        self, alive: list[Going], query: torch.Tensor, logits: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Each group's objective, and the gradients of all rows of the call; both averaged over the samples."""
        objectives, slope = [torch.zeros(()) for _ in alive], torch.zeros(())
        if not alive:
            return objectives, slope
        for sample in range(self._samples):
            answered = logits if sample == 0 else self._asker.ask(query).logits
            with torch.enable_grad():
                wanted = [_objective(each, answered[each.at]) for each in alive]
                with contained():
                    (gradient,) = torch.autograd.grad(torch.cat(wanted).sum(), query)
            self._asker.classifier.work.backward_rows += len(query)
            objectives = [total + new.detach() / self._samples for total, new in zip(objectives, wanted, strict=True)]
            slope = gradient if self._samples == 1 else slope + gradient / self._samples
        return objectives, slope


def _going(group: Group, rows: Rows, going: np.ndarray) -> Going:
    positions = np.flatnonzero(going[group.part]) + group.part.start
    if len(positions) == group.part.stop - group.part.start:
        return Going(group, positions, group.part, rows.select(group.part))
    at = torch.from_numpy(positions).to(rows.index.device)
    return Going(group, positions, at, rows.select(at))


def _objective(each: Going, logits: torch.Tensor) -> torch.Tensor:
    objective = each.group.attack.objective(each.rows, logits)
    if objective is None:
        raise TypeError(f"{type(each.group.attack).__name__} wants gradients and names no objective")
    return objective
