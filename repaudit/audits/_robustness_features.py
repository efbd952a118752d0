"""How attack success and perturbations go with where an image's feature lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.verdict import CODES, Evaluation, Outcome
from repaudit.audits._robustness_verdicts import saturated
from repaudit.finding import Better, Figure, FigureValue, Finding, Measurement, Skipped, Unit
from repaudit.metrics.alignment import cosines_to, feature_norms, pearson, spearman
from repaudit.metrics.frank_wolfe import sphere_centers
from repaudit.metrics.intervals import fisher_pearson, fisher_spearman, student

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from repaudit.evidence import Evidence
    from repaudit.metrics.intervals import Interval

BINS = 10
POINTS = 2000
"""Images drawn in one figure at most."""
ASSOCIATED = "association over images, no cause"


@dataclass(frozen=True, slots=True)
class Cosines:
    """cos(f, minimum-loss point of the true class) of the attacked images, or why there is none."""

    values: np.ndarray | None
    """(n₀,), NaN where the class has no such direction."""
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
        return Cosines(None, no_head)
    if not len(correct):
        return Cosines(None, "no image is classified correctly")
    # the radius is the geometry audit's: over all correct images, attacked or not
    norms = feature_norms(features)
    radius = float(norms[evidence.summary.correct].mean())
    if len(weight) < 2 or not radius > 0:
        return Cosines(None, "a single class, or features that are all 0, have no minimum-loss point")
    found = sphere_centers(weight, bias, radius, np.unique(evidence.labels[correct]))
    return Cosines(cosines_to(features, norms, found.directed, evidence.labels)[correct], "")


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
        yield _correlation(name, success[usable], cosines.values[usable], note, rank=True)
        yield from _by_cosine(key, cosines.values[usable], success[usable])
    note = f"success against clean margin; {ASSOCIATED}"
    yield _correlation(f"robustness.{key}.margin_spearman", success[judged], margins[judged], note, rank=True)


def perturbation_findings(
    evaluation: Evaluation, evidence: Evidence, correct: np.ndarray, no_feature: str
) -> Iterator[Finding]:
    """RMS(f_adv − f), f_adv at the last iterate, and how it goes with RMS(f) (RS Fig. 7).

    Args:
        evaluation: of one attack, with images kept to the end.
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
        note="RMS of f_adv − f at the last iterate, over initially correct images",
    )
    yield _correlation(relation, clean_rms, moved_rms, "RMS(f) against RMS(f_adv − f)", rank=False)
    broken = evaluation.outcome[last.position] == CODES[Outcome.BROKEN]
    yield Figure(
        key=f"robustness.{evaluation.setting.key}.perturbation",
        data={
            "rms": clean_rms[:POINTS].tolist(),
            "perturbation_rms": moved_rms[:POINTS].tolist(),
            "broken": broken[:POINTS].tolist(),
            "n": len(moved_rms),
        },
    )


def _by_cosine(key: str, cosines: np.ndarray, success: np.ndarray) -> Iterator[Figure]:
    if not len(cosines):
        return
    low, high = float(cosines.min()), float(cosines.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, BINS + 1)
    place = np.clip(np.searchsorted(edges, cosines, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    hits = np.bincount(place, weights=success, minlength=BINS)
    shares: list[FigureValue] = [float(hit / count) if count else None for hit, count in zip(hits, counts, strict=True)]
    yield Figure(
        key=f"robustness.{key}.by_cosine",
        data={
            "center": "minimum_loss",
            "edges": edges.tolist(),
            "count": counts.tolist(),
            "success": shares,
            "spearman_p": _p_value(spearman(success, cosines), len(cosines)),
            "saturated": saturated(int(success.sum()), len(success)),
            "n": len(cosines),
        },
    )


def _correlation(key: str, left: np.ndarray, right: np.ndarray, note: str, *, rank: bool) -> Measurement | Skipped:
    value = spearman(left, right) if rank else pearson(left, right)
    if value is None:
        return Skipped(key=key, reason=_constant(left, right))
    fisher: Callable[[float, int], Interval] = fisher_spearman if rank else fisher_pearson
    enough = len(left) > 3
    return Measurement(
        key=key,
        value=value,
        unit=Unit.CORRELATION,
        better=Better.NEITHER,
        n=len(left),
        interval=fisher(value, len(left)) if enough else None,
        interval_reason=None if enough else "fewer than four images",
        note=note,
    )


def _constant(left: np.ndarray, right: np.ndarray) -> str:
    if len(left) < 2:
        return f"{len(left)} images are too few to correlate anything"
    if np.ptp(left) == 0 and set(np.unique(left)) <= {0.0, 1.0}:
        return f"saturated: the attack breaks {'every' if left[0] else 'no'} image"
    return f"one of the two is constant over the {len(left)} images"


def _p_value(r: float | None, n: int) -> float | None:
    """Two-sided p of no monotone association, by the t approximation; None where it is undefined."""
    if r is None or n < 4 or abs(r) >= 1:
        return None
    from scipy.special import stdtr

    t = abs(r) * np.sqrt((n - 2) / (1 - r * r))
    return float(2 * stdtr(n - 2, -t))
