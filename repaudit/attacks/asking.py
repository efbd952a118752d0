"""How queries reach the network, and what its answers mean for a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.verdict import Answers, judge
from repaudit.classifier import Output
from repaudit.evidence import padded

if TYPE_CHECKING:
    from repaudit.attacks import Rows
    from repaudit.attacks.scout import Scout
    from repaudit.attacks.threat import Threat
    from repaudit.classifier import Classifier


class Asker:
    """Asks the network in full calls; through a faster copy where there is one.

    What the copy takes for a success or an error is asked of the network itself, whose answer alone counts; so is
    what is found by gradients that come from another program.
    """

    def __init__(
        self, classifier: Classifier, rows: int, *, classes: int | None = None, scout: Scout | None = None
    ) -> None:
        """`classes` (None: all) are those that a verdict knows, the first of the logits."""
        self.classifier, self._rows, self._classes, self._scout = classifier, rows, classes, scout

    def ask(self, query: torch.Tensor) -> Output:
        """Answers to a full call, with a graph where the query wants a gradient."""
        with torch.set_grad_enabled(query.requires_grad):
            if self._scout is None:
                return self.classifier.forward(query)
            logits = self._scout.logits(query)
            return Output(logits, None, logits)

    def judge(self, threat: Threat, rows: Rows, query: torch.Tensor, logits: torch.Tensor) -> Answers:
        """Reads the answers to queries.

        Args:
            threat: within which a success counts.
            rows: (r), what was attacked.
            query: (r, c, h, w), what was asked.
            logits: (r, k).
        """
        answers = judge(threat, query - rows.clean, logits[:, : self._classes], rows.labels)
        if self._scout is None and not self.classifier.gradients_elsewhere:
            return answers
        doubtful = ~answers.finite | (answers.inside & answers.wrong)
        positions = np.flatnonzero(doubtful)
        return answers if not len(positions) else self._confirmed(threat, rows, query, answers, positions)

    def output(self, query: torch.Tensor) -> Output:
        """What the network itself answers to at most one call of queries, (r, c, h, w)."""
        with torch.no_grad():
            output = self.classifier.forward(padded(query, self._rows))
        features = None if output.features is None else output.features[: len(query)]
        return Output(output.logits[: len(query)], features, output.answered[: len(query)])

    def _confirmed(
        self, threat: Threat, rows: Rows, query: torch.Tensor, answers: Answers, positions: np.ndarray
    ) -> Answers:
        chosen = torch.from_numpy(positions).to(query.device)
        asked = rows.select(chosen)
        logits = self.output(query[chosen].detach()).logits[:, : self._classes]
        again = judge(threat, query[chosen] - asked.clean, logits, asked.labels)
        changed = {name: getattr(answers, name).copy() for name in ("finite", "wrong", "margin", "spread")}
        for name, values in changed.items():
            values[positions] = getattr(again, name)
        return replace(answers, **changed)
