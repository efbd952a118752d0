"""If it may pass its least certain images to a person, how often is it wrong on the rest?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits import Audit
from repaudit.audits._selective_definitions import DEFINITIONS
from repaudit.case import Case, Parameters
from repaudit.finding import NOT_RESAMPLED, Better, Bounds, Figure, Finding, Measurement, Unit, key_specs
from repaudit.metrics.selective import risk_coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

POINTS = 100
"""Coverages in the figure."""


class SelectiveParameters(Parameters):
    """None: images are ranked by confidence."""


def run(case: Case[SelectiveParameters]) -> Iterator[Finding]:
    """Yields `selective.aurc` and the risk-coverage curve."""
    summary = case.evidence.summary
    curve = risk_coverage(summary.confidence, summary.correct)
    n = len(case.evidence)
    yield Measurement(
        key="selective.aurc",
        value=curve.area,
        unit=Unit.FRACTION,
        better=Better.LOWER,
        n=n,
        interval_reason=NOT_RESAMPLED,
        note="mean error rate over all coverages, ranked by confidence",
    )
    kept = np.unique(-(-np.arange(1, POINTS + 1) * n // POINTS))
    yield Figure(
        key="selective.risk_coverage",
        data={
            "coverage": (kept / n).tolist(),
            "risk": curve.risk[kept - 1].tolist(),
            "threshold": curve.threshold[kept - 1].tolist(),
            "images": n,
        },
    )


audit = Audit(
    question="How often is it wrong on the images it is sure of?",
    version=1,
    needs=frozenset(),
    declared=key_specs(Unit.FRACTION, Better.LOWER, Bounds.NONE, "selective.aurc"),
    definitions=DEFINITIONS,
    parameters=SelectiveParameters,
    run=run,
)
