"""Does an attack work by shrinking features? How one step of FGSM moves them (the mechanism of arXiv 2410.03999)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.audits._robustness_relations import BINS, band_lists, bins_of
from repaudit.finding import (
    Better,
    Bounds,
    Figure,
    FigureValue,
    Finding,
    KeySpec,
    Measurement,
    Skipped,
    Unit,
    key_specs,
)
from repaudit.metrics.bands import group_bands
from repaudit.metrics.intervals import student
from repaudit.metrics.radial import isotropic_share, shrink_cosines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.case import Case, P

MECHANISM = "mechanism"
"""The segment of its keys that stands where others have an attack's; no attack may be called so."""
LARGE = "8/255"
"""The paper's radius."""
COSINES = tuple(f"robustness.{MECHANISM}.shrink_cosine_{size}" for size in ("large", "small"))
SHARES = tuple(f"robustness.{MECHANISM}.radial_share_{size}" for size in ("large", "small"))
SPECS: tuple[KeySpec, ...] = (
    *key_specs(Unit.COSINE, Better.NEITHER, Bounds.ANY, *COSINES),
    *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.ANY, *SHARES),
)
"""What is measured once an audit, whatever its attacks."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One FGSM step on the watched images."""

    epsilon: float
    shrink: np.ndarray
    """(k,) cos(f_adv − f, −f); NaN where a feature did not move, is 0, or the attack ended in an error."""


def mechanism_skipped(reason: str) -> Iterator[Skipped]:
    """All of its measurements could not be had."""
    for key in (*COSINES, *SHARES):
        yield Skipped(key=key, reason=reason)


def mechanism_findings(case: Case[P], rows: np.ndarray, cosines: np.ndarray | None, small: float) -> Iterator[Finding]:
    """`robustness.mechanism.*`: cos(f_adv − f, −f) and the radial share |(f_adv − f)·f| / (‖f_adv − f‖ ‖f‖).

    FGSM with `linf`, at ε = 8/255 and at `small`: two evaluations, each two forward rows and one backward row an image.

    Args:
        case: with a linear head and gradients.
        rows: (k,) of the evidence, rising: initially correct images to watch, at least one.
        cosines: (k,) to the true class's minimum-loss point, NaN where the class has none; None where there are none.
        small: the other radius.
    """
    if case.evidence.features is None:
        raise ValueError("without features there is no mechanism to look at")
    steps = [_step(case, rows, epsilon) for epsilon in (LARGE, small)]
    for step, cosine_key, share_key in zip(steps, COSINES, SHARES, strict=True):
        shrink = step.shrink[np.isfinite(step.shrink)]
        told = f"FGSM, linf {step.epsilon * 255:.4g}/255"
        if len(shrink) < len(rows):
            told += f"; {len(rows) - len(shrink)} images without a displacement left out"
        yield _mean(cosine_key, shrink, Unit.COSINE, -1.0, f"cos(f_adv − f, −f), 1: straight to the origin; {told}")
        yield _mean(share_key, np.abs(shrink), Unit.FRACTION, 0.0, f"|component along f| / ‖f_adv − f‖; {told}")
    yield _figure(steps, cosines, case.evidence.features.shape[1])


def _step(case: Case[P], rows: np.ndarray, epsilon: float | str) -> _Step:
    setting = resolve({"name": "fgsm", "key": f"fgsm-{MECHANISM}", "epsilon": epsilon})
    evidence = case.evidence
    ids = tuple(evidence.ids[row] for row in rows)
    evaluation = evaluate(
        case.classifier,
        case.images,
        Subjects(ids=ids, labels=evidence.labels[rows], logits=evidence.logits[rows]),
        setting,
        seed=case.seed,
        shape=case.shape,
        progress=case.progress,
        kept=frozenset(ids),
        purpose=f"features under one step of {setting.threat.epsilon * 255:.3g}/255",
    )
    shrink, last = np.full(len(rows), np.nan), evaluation.last
    if evidence.features is not None and last is not None:
        shrink[last.position] = shrink_cosines(evidence.features[rows[last.position]], last.features)
    return _Step(setting.threat.epsilon, shrink)


def _mean(key: str, values: np.ndarray, unit: Unit, least: float, note: str) -> Measurement | Skipped:
    if not len(values):
        return Skipped(key=key, reason="no feature moved, or the attack ended in an error on every image")
    several = len(values) > 1
    return Measurement(
        key=key,
        value=float(values.mean()),
        unit=unit,
        better=Better.NEITHER,
        n=len(values),
        interval=student(values, least=least, most=1.0) if several else None,
        interval_reason=None if several else "a single value",
        note=note,
    )


def _figure(steps: list[_Step], cosines: np.ndarray | None, width: int) -> Figure:
    """Both radii over the same bins, those of the images that have a cosine."""
    data: dict[str, FigureValue] = {"center": "minimum_loss", "norm": "linf", "isotropic_share": isotropic_share(width)}
    usable = np.array([], dtype=np.int64) if cosines is None else np.flatnonzero(np.isfinite(cosines))
    bins = bins_of(cosines[usable]) if cosines is not None and len(usable) else None
    data["edges"] = None if bins is None else bins.edges.tolist()
    for name, step in zip(("large", "small"), steps, strict=True):
        entry: dict[str, FigureValue] = {"epsilon": step.epsilon, "n": int(np.isfinite(step.shrink).sum())}
        if bins is not None:
            shrink = group_bands(step.shrink[usable], bins.place, BINS)
            share = group_bands(np.abs(step.shrink[usable]), bins.place, BINS)
            entry["count"] = shrink.count.tolist()
            entry["shrink_cosine"], entry["radial_share"] = band_lists(shrink), band_lists(share)
        data[name] = entry
    return Figure(key=f"robustness.{MECHANISM}", data=data)
