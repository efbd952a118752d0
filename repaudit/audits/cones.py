"""Are decision regions cones: does a feature keep its label while it shrinks to the origin?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits import Audit
from repaudit.audits._cones_definitions import DEFINITIONS
from repaudit.audits._geometry_measure import NO_CORRECT, mean_of
from repaudit.case import Case, Parameters
from repaudit.classifier import Capability
from repaudit.finding import Better, Bounds, Column, Figure, Finding, Measurement, Skipped, Unit, key_specs
from repaudit.metrics.bias import is_bias_free
from repaudit.metrics.cones import STEPS, ErrorSteps, first_error_steps, ray_limits
from repaudit.metrics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ("cones.first_error_step", "cones.never_share")
BIAS_FREE = "the bias is the same for every class, so every decision region is exactly a cone"


class ConesParameters(Parameters):
    """None: 100 uniform steps are the published convention, and the closed form needs no other."""


def run(case: Case[ConesParameters]) -> Iterator[Finding]:
    """Yields `cones.*`, the histogram of first misclassified steps, and both ends of each image's ray."""
    evidence = case.evidence
    reason = None
    if evidence.bias is None:
        reason = case.classifier.card.head.reason or "the model has no linear head"
    elif is_bias_free(evidence.bias):
        reason = BIAS_FREE
    elif not evidence.summary.correct.any():
        reason = NO_CORRECT
    if evidence.bias is None or reason is not None:
        for key in KEYS:
            yield Skipped(key=key, reason=str(reason))
        return
    correct = evidence.summary.correct
    limits = ray_limits(evidence.logits, evidence.bias, evidence.labels, correct)
    steps = first_error_steps(limits.lower)
    yield mean_of(
        KEYS[0],
        steps.step[correct],
        Unit.STEPS,
        note=f"first misclassified of {STEPS} uniform steps to the origin, initially correct images; never = {STEPS}",
    )
    never, n = int(steps.never.sum()), int(correct.sum())
    yield Measurement(
        key=KEYS[1],
        value=never / n,
        unit=Unit.FRACTION,
        better=Better.NEITHER,
        n=n,
        interval=wilson(never, n),
        note="initially correct images that keep their label at every step, the origin included",
    )
    yield _histogram(steps, n)
    yield Column(name="first_error_step", values=steps.step)
    yield Column(name="s_hi", values=limits.upper)


def _histogram(steps: ErrorSteps, n: int) -> Figure:
    failing = steps.step[np.isfinite(steps.step) & ~steps.never].astype(np.int64)
    counts = np.bincount(failing, minlength=STEPS + 1)[1:]
    return Figure(
        key="cones.steps",
        data={
            "images": n,
            "step": list(range(1, STEPS + 1)),
            "first_misclassified": [int(count) for count in counts],
            "never": int(steps.never.sum()),
        },
    )


audit = Audit(
    question="Does a feature keep its label while it shrinks to the origin?",
    version=1,
    needs=frozenset({Capability.LINEAR_HEAD}),
    declared=(
        *key_specs(Unit.STEPS, Better.NEITHER, Bounds.ANY, KEYS[0]),
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.ANY, KEYS[1]),
    ),
    definitions=DEFINITIONS,
    parameters=ConesParameters,
    run=run,
)
