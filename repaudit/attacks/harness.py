"""Runs one attack over many images; it alone asks the network and judges the answers.

Queries are clipped to [0, 1] and nothing else is done to them; a success is a query within the radius that the
network misclassifies, whichever iterate it is. Every call has the same number of rows, so a verdict is the same
beside any neighbours.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.checks import unchanged
from repaudit.attacks.pool import Pool, Subjects
from repaudit.attacks.verdict import Evaluation, Gradients, LastIterates, Ledger, judge
from repaudit.evidence import padded
from repaudit.foreign import contained
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from collections.abc import Set

    from repaudit.attacks import Attack, Rows, Setting
    from repaudit.attacks.pool import Call
    from repaudit.case import EvaluationShape
    from repaudit.classifier import Classifier, Output
    from repaudit.images import ImageSet
    from repaudit.progress import Progress


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
) -> Evaluation:
    """Attacks each image until it is broken or the attack's jobs are done.

    Args:
        classifier: in eval mode, and left exactly as it was.
        images: read by id, once each, in the order of `subjects`, as rows become free.
        subjects: initially correct images.
        setting: which attack, how far, how long.
        seed: of all noise, with each image's id.
        shape: rows of every call, and how many calls the pool holds. Verdicts depend on `rows` only.
        progress: shows images per second.
        kept: ids whose first job runs to its last iterate even when broken on the way, for the features there.
            Their verdicts are the same as without.

    Raises:
        InvalidData: an image is not in [0, 1].
        InvalidModel: a module is in training mode, or a buffer changed under the attack.
        torch.OutOfMemoryError: the shape is too large for the device.
    """
    (member,) = setting.members()
    attack = member.attack
    pool = Pool(subjects, images, attack, name=setting.name, seed=seed, shape=shape, device=classifier.device)
    search = _Search(
        classifier,
        attack,
        pool,
        rows=shape.rows,
        kept=np.array([name in kept for name in subjects.ids], dtype=bool),
    )
    stage = progress.stage(f"attack {setting.key}", len(subjects.ids), "images")
    with unchanged(classifier.network), same_kernels(), torch.no_grad(), closing(pool), stage as watched:
        left = 0
        while search.step():
            watched.advance(pool.left - left)
            left = pool.left
    return search.ledger.evaluation(
        setting, seed=seed, ids=subjects.ids, last=search.last_iterates(), gradients=search.gradients
    )


class _Search:
    """One attack under way: what it asks, what becomes of each row."""

    def __init__(self, classifier: Classifier, attack: Attack, pool: Pool, *, rows: int, kept: np.ndarray) -> None:
        self._classifier, self._attack, self._pool = classifier, attack, pool
        self._rows, self._kept = rows, kept
        self._features: dict[int, np.ndarray] = {}
        self.ledger = Ledger(len(kept))
        self.gradients = Gradients()

    def step(self) -> bool:
        """Fills the pool and asks one query for every row; False when nobody is left."""
        entered = self._pool.fill()
        if len(entered):
            self._attack.begin(self._pool.rows(entered))
        calls = self._pool.calls()
        for call in calls:
            self._run(call)
        return bool(calls)

    def last_iterates(self) -> LastIterates | None:
        """Features of the kept images, None without a linear head."""
        if self._classifier.split is None:
            return None
        position = np.array(sorted(self._features), dtype=np.int64)
        width = int(self._classifier.split.weight.shape[1])
        rows = [self._features[row] for row in position.tolist()]
        return LastIterates(position, np.stack(rows) if rows else np.empty((0, width), dtype=np.float32))

    def _run(self, call: Call) -> None:
        rows = self._pool.rows(call.index)
        query = padded(self._attack.propose(rows).clamp(0, 1), self._rows).requires_grad_(call.gradients > 0)
        output = self._ask(query)
        leaving, finished = self._judge(call.index, rows, query, output)
        going = ~leaving & ~finished
        self._go_on(rows, query, output.logits, going, call.gradients)
        self._pool.advance(call.index[going])
        self._pool.leave(call.index[leaving])
        begun = self._pool.next_job(call.index[finished & ~leaving])
        if len(begun):
            self._attack.begin(self._pool.rows(begun))

    def _ask(self, query: torch.Tensor) -> Output:
        with torch.set_grad_enabled(query.requires_grad):
            return self._classifier.forward(query)

    def _judge(
        self, index: np.ndarray, rows: Rows, query: torch.Tensor, output: Output
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which rows leave because their image is decided, and which have come to the end of their job."""
        place = self._pool.place(index)
        perturbation = query[: len(index)] - rows.clean
        answers = judge(self._attack.threat, perturbation, output.logits[: len(index)], rows.labels)
        self.ledger.record(place, answers)
        finished = self._attack.finished(index, place.iteration)
        watched = self._kept[place.subject] & (place.job == 0) & answers.finite
        if output.features is not None:
            for row in np.flatnonzero(watched & finished):
                self._features[int(place.subject[row])] = output.features[row].cpu().numpy()
        return self.ledger.decided[place.subject] & ~(watched & ~finished), finished

    def _go_on(self, rows: Rows, query: torch.Tensor, logits: torch.Tensor, going: np.ndarray, gradients: int) -> None:
        """Tells the attack what the network answered to those rows whose job goes on."""
        positions = np.flatnonzero(going)
        asked = torch.from_numpy(positions[positions < gradients]).to(query.device)
        unasked = torch.from_numpy(positions[positions >= gradients]).to(query.device)
        if len(asked):
            chosen = rows.select(asked)
            objective, gradient = self._ascend(chosen, query, logits, asked)
            self._attack.update(chosen, logits[asked].detach(), objective, gradient)
        if len(unasked):
            self._attack.update(rows.select(unasked), logits[unasked].detach(), None, None)

    def _ascend(
        self, chosen: Rows, query: torch.Tensor, logits: torch.Tensor, asked: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Objective and gradient of the asked rows, averaged over the attack's samples."""
        samples = self._attack.samples
        objective, gradient = torch.zeros(()), torch.zeros(())
        for sample in range(samples):
            answered = logits if sample == 0 else self._ask(query).logits
            with torch.enable_grad():
                wanted = self._attack.objective(chosen, answered[asked])
                if wanted is None:
                    raise TypeError(f"{type(self._attack).__name__} wants gradients and names no objective")
                with contained():
                    (slope,) = torch.autograd.grad(wanted.sum(), query)
            self._classifier.work.backward_rows += len(query)
            objective = objective + wanted.detach() / samples
            gradient = gradient + slope[asked] / samples
        return objective, self._finite(gradient)

    def _finite(self, gradient: torch.Tensor) -> torch.Tensor:
        largest = gradient.flatten(1).abs().amax(dim=1).cpu()
        broken = ~largest.isfinite()
        self.gradients.rows += len(largest)
        self.gradients.zero += int((largest == 0).sum())
        self.gradients.nonfinite += int(broken.sum())
        return gradient.nan_to_num(0.0, 0.0, 0.0) if broken.any() else gradient
