"""How often is the first answer right, and how often is the right one among the first five?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits import Audit
from repaudit.audits._accuracy_definitions import DEFINITIONS
from repaudit.case import Case, Parameters
from repaudit.finding import Better, Bounds, Column, Figure, Finding, Measurement, Skipped, Unit, key_specs
from repaudit.metrics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator


class AccuracyParameters(Parameters):
    """None: accuracy has no convention to choose."""


def run(case: Case[AccuracyParameters]) -> Iterator[Finding]:
    """Yields `accuracy.top1`, `accuracy.top5`, accuracy per class and the per-image columns behind them."""
    summary = case.evidence.summary
    n = len(case.evidence)
    yield _share("accuracy.top1", summary.correct)
    classes = case.evidence.logits.shape[1]
    if classes > 5:
        yield _share("accuracy.top5", summary.top5)
    else:
        yield Skipped(key="accuracy.top5", reason=f"the model has only {classes} classes")
    labels = case.evidence.labels
    present, counts = np.unique(labels, return_counts=True)
    hits = np.bincount(labels, weights=summary.correct, minlength=classes)[present]
    names = case.images.class_names
    yield Figure(
        key="accuracy.per_class",
        data={
            "class": [int(k) for k in present],
            "name": None if names is None else [names[k] for k in present],
            "images": [int(count) for count in counts],
            "accuracy": [float(hit / count) for hit, count in zip(hits, counts, strict=True)],
            "n": n,
        },
    )
    yield Column(name="prediction", values=summary.prediction)
    yield Column(name="confidence", values=summary.confidence)
    yield Column(name="log_p_label", values=summary.log_p_label)
    yield Column(name="brier", values=summary.brier)
    yield Column(name="top5", values=summary.top5)


def _share(key: str, hit: np.ndarray) -> Measurement:
    successes, n = int(hit.sum()), len(hit)
    return Measurement(
        key=key,
        value=successes / n,
        unit=Unit.FRACTION,
        better=Better.HIGHER,
        n=n,
        interval=wilson(successes, n),
    )


audit = Audit(
    question="How often is it right?",
    version=1,
    needs=frozenset(),
    declared=key_specs(Unit.FRACTION, Better.HIGHER, Bounds.ANY, "accuracy.top1", "accuracy.top5"),
    definitions=DEFINITIONS,
    parameters=AccuracyParameters,
    run=run,
)
