"""How attack success and perturbations go with where an image's feature lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.verdict import CODES, Evaluation, Outcome
from repaudit.audits._robustness_relations import ASSOCIATED, correlation, success_by_cosine
from repaudit.finding import Better, Figure, Finding, Measurement, Skipped, Unit, plotted
from repaudit.metrics.alignment import cosines_to, feature_norms
from repaudit.metrics.frank_wolfe import sphere_centers
from repaudit.metrics.intervals import student

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.evidence import Evidence

POINTS = 500
"""Images drawn in one figure at most."""


@dataclass(frozen=True, slots=True)
class Cosines:
    """cos(f, minimum-loss point of the true class) of the attacked images, or why there is none."""

    values: np.ndarray | None
    """(n₀,), NaN where the class has no such direction."""
    centers: np.ndarray | None
    """(c, d) those points, NaN rows for classes without one or without an attacked image."""
    reason: str


def minimum_loss_cosines(evidence: Evidence, correct: np.ndarray, no_head: str) -> Cosines:
    """Cosine of each attacked image's feature to its class's minimum-loss point on the sphere.

    Args:
        evidence: with a linear head, or the result is the reason `no_head`.
        correct: (n₀,) rows of the attacked, initially correct images.
        no_head: why there is no linear head.
    """
    features, weight, bias = evidence.features, evidence.weight, evidence.bias
    if features is None or weight is None or bias is None:
        return Cosines(None, None, no_head)
    if not len(correct):
        return Cosines(None, None, "no image is classified correctly")
    # the radius is the geometry audit's: over all correct images, attacked or not
    norms = feature_norms(features)
    radius = float(norms[evidence.summary.correct].mean())
    if len(weight) < 2 or not radius > 0:
        return Cosines(None, None, "a single class, or features that are all 0, have no minimum-loss point")
    found = sphere_centers(weight, bias, radius, np.unique(evidence.labels[correct]))
    centers = found.directed
    return Cosines(cosines_to(features[correct], norms[correct], centers, evidence.labels[correct]), centers, "")


def trend_findings(evaluation: Evaluation, cosines: Cosines, margins: np.ndarray) -> Iterator[Finding]:
    """Whether images near their centre, or far from the decision boundary, are broken less often.

    Args:
        evaluation: of one attack.
        cosines: of the same images.
        margins: (n₀,) clean margins.
    """
    key = evaluation.setting.key
    judged = evaluation.outcome != CODES[Outcome.ERROR]
    success = (evaluation.outcome == CODES[Outcome.BROKEN]).astype(np.float64)
    name = f"robustness.{key}.cosine_spearman"
    if cosines.values is None:
        yield Skipped(key=name, reason=cosines.reason)
    else:
        usable = judged & np.isfinite(cosines.values)
        note = f"success against cosine to the true class's minimum-loss point; {ASSOCIATED}"
        yield correlation(name, success[usable], cosines.values[usable], note, rank=True)
        if usable.any():
            data = success_by_cosine(cosines.values[usable], success[usable])
            yield Figure(key=f"robustness.{key}.by_cosine", data=data)
    note = f"success against clean margin; {ASSOCIATED}"
    yield correlation(f"robustness.{key}.margin_spearman", success[judged], margins[judged], note, rank=True)


def perturbation_findings(
    evaluation: Evaluation, evidence: Evidence, correct: np.ndarray, no_feature: str
) -> Iterator[Finding]:
    """RMS(f_adv − f) and how it goes with RMS(f) (RS Fig. 7).

    f_adv is the feature at the last iterate, of a protocol at the deciding query of the images that it broke.

    Args:
        evaluation: of one attack, with kept images.
        evidence: of the clean pass.
        correct: (n₀,) rows of the attacked images.
        no_feature: why there is none, where there is none.
    """
    size, relation = (f"robustness.{evaluation.setting.key}.perturbation_{name}" for name in ("rms", "pearson"))
    last = evaluation.last
    if evidence.features is None or last is None or not len(last.position):
        yield Skipped(key=size, reason=no_feature)
        yield Skipped(key=relation, reason=no_feature)
        return
    clean = evidence.features[correct[last.position]].astype(np.float64)
    width = np.sqrt(clean.shape[1])
    clean_rms = feature_norms(clean) / width
    moved_rms = feature_norms(last.features - clean) / width
    yield Measurement(
        key=size,
        value=float(moved_rms.mean()),
        unit=Unit.SCALE,
        better=Better.NEITHER,
        n=len(moved_rms),
        interval=student(moved_rms, least=0.0) if len(moved_rms) > 1 else None,
        interval_reason=None if len(moved_rms) > 1 else "a single value",
        note=f"RMS of f_adv − f at {_where(evaluation)}",
    )
    yield correlation(relation, clean_rms, moved_rms, "RMS(f) against RMS(f_adv − f)", rank=False)
    broken = evaluation.outcome[last.position] == CODES[Outcome.BROKEN]
    yield Figure(
        key=f"robustness.{evaluation.setting.key}.perturbation",
        data={
            "rms": plotted(clean_rms[:POINTS]),
            "perturbation_rms": plotted(moved_rms[:POINTS]),
            "broken": broken[:POINTS].tolist(),
            "n": len(moved_rms),
        },
    )


def _where(evaluation: Evaluation) -> str:
    if len(evaluation.members) > 1:
        return "the deciding query, over images that the protocol broke"
    return "the last iterate, over initially correct images"
