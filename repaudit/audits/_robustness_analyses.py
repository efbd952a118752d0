"""The papers' analyses on top of attacks: what they share is made once, and each attack is looked at through it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Generic

import numpy as np

from repaudit.audits._robustness_distance import LinearDistances, distance_finding, linear_distances
from repaudit.audits._robustness_features import minimum_loss_cosines, perturbation_findings, trend_findings
from repaudit.audits._robustness_mechanism import mechanism_findings, mechanism_skipped
from repaudit.audits._robustness_telling import Watched, telling_findings
from repaudit.audits._robustness_trajectory import Trajectory
from repaudit.case import P
from repaudit.finding import Better, Bounds, Finding, KeySpec, Skipped, Unit, key_specs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks import Setting
    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._subjects import Field
    from repaudit.case import Case

CORRELATIONS = ("perturbation_pearson", "cosine_spearman", "margin_spearman", "linear_distance_spearman")
RELATIONS = ("perturbation_rms", *CORRELATIONS, "telling_epsilon")
"""What is measured of each attack beside its verdicts."""


def relation_specs(key: str) -> tuple[KeySpec, ...]:
    """What is yielded of the attack `key` beside its verdicts."""
    return (
        *key_specs(Unit.SCALE, Better.NEITHER, Bounds.ANY, f"robustness.{key}.perturbation_rms"),
        *key_specs(
            Unit.CORRELATION, Better.NEITHER, Bounds.ANY, *(f"robustness.{key}.{name}" for name in CORRELATIONS)
        ),
        *key_specs(Unit.SCALE, Better.NEITHER, Bounds.NONE, f"robustness.{key}.telling_epsilon"),
    )


def relations_skipped(key: str, reason: str) -> Iterator[Skipped]:
    """Nothing of the attack `key` could be had."""
    for name in RELATIONS:
        yield Skipped(key=f"robustness.{key}.{name}", reason=reason)


class Analyses(Generic[P]):
    """Of one robustness audit."""

    def __init__(self, case: Case[P], field: Field, *, limit: int, small: float, gradients: bool) -> None:
        """Draws the images to watch; nothing is asked of the network yet.

        Args:
            case: of the audit.
            field: the images in question.
            limit: images to watch at most, the same for every attack, so that their features can be compared.
            small: the mechanism's smaller radius, `linf`.
            gradients: gradients reach the pixels.
        """
        self._case, self._field, self._limit, self._small, self._gradients = case, field, limit, small, gradients
        order = case.random("robustness.perturbation").permutation(len(field.correct))
        self._watched: np.ndarray = np.sort(order[:limit])
        self._no_head = case.classifier.card.head.reason or "the model has no linear head"
        self._cosines = minimum_loss_cosines(case.evidence, field.correct, self._no_head)
        self._margins = case.evidence.summary.margin[field.correct]

    @property
    def kept(self) -> frozenset[str]:
        """Ids of the images whose attack goes on when they are broken; none without features to look at."""
        if self._case.evidence.features is None:
            return frozenset()
        return frozenset(self._case.evidence.ids[row] for row in self._field.correct[self._watched])

    def witness(self, setting: Setting) -> Trajectory | None:
        """Who watches the attack; None of a protocol, without gradients, for a single step, or with nothing to see.

        Nor in a list of radii: there an evaluation numbers only the images that the smaller radius left.
        """
        members = setting.members()
        iterated = members[0].attack.directions > 0 and members[0].attack.steps > 1
        if not self.kept or len(members) > 1 or not iterated or setting.series is not None:
            return None
        return Trajectory(self._watched, self._case.evidence.labels[self._field.correct], self._cosines.centers)

    def findings(self, evaluation: Evaluation, witness: Trajectory | None) -> Iterator[Finding]:
        """How success and movement of one attack go with what is known of the images.

        Args:
            evaluation: of the attack, with `kept` kept.
            witness: who watched it.
        """
        correct = self._field.correct
        yield from trend_findings(evaluation, self._cosines, self._margins)
        yield distance_finding(evaluation, self._distances)
        yield from perturbation_findings(evaluation, self._case.evidence, correct, self._no_feature(evaluation))
        if witness is not None:
            yield from witness.figure(evaluation)
        yield from telling_findings(self._case, evaluation, self._to_search_with(evaluation))

    def mechanism(self) -> Iterator[Finding]:
        """`robustness.mechanism.*`, which no attack of the profile is needed for."""
        reason = ""
        if not self._gradients:
            reason = "the model gives no gradients"
        elif not self.kept:
            reason = self._nobody_kept()
        if reason:
            yield from mechanism_skipped(reason)
            return
        cosines = None if self._cosines.values is None else self._cosines.values[self._watched]
        yield from mechanism_findings(self._case, self._field.correct[self._watched], cosines, self._small)

    @cached_property
    def _distances(self) -> LinearDistances:
        if not self._gradients:
            return LinearDistances(None, "the model gives no gradients")
        return linear_distances(self._case, self._field.correct)

    def _to_search_with(self, evaluation: Evaluation) -> Watched:
        predictors = {"margin": self._margins[self._watched]}
        if self._cosines.values is not None:
            predictors["cosine"] = self._cosines.values[self._watched]
        if self._distances.by_norm is not None:
            norm = evaluation.setting.threat.norm
            predictors["linear_distance"] = self._distances.by_norm[norm][self._watched]
        return Watched(self._field.correct[self._watched], predictors)

    def _no_feature(self, evaluation: Evaluation) -> str:
        """Why there is no feature under attack, where there is none."""
        if self.kept and evaluation.last is None:
            return "whoever ran the attack keeps no features"
        if self.kept and len(evaluation.members) > 1:
            return f"{evaluation.setting.key} broke none of {len(self.kept)} watched images"
        return self._nobody_kept()

    def _nobody_kept(self) -> str:
        """Why no image's attack runs to its end."""
        if self._case.evidence.features is None:
            return self._no_head
        if self._limit == 0:
            return "perturbation_limit is 0"
        return "no initially correct image ran to the end of the attack"
