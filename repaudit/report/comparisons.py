"""Which report this one was compared with, and what came of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from repaudit.finding import Better, Unit
from repaudit.metrics.intervals import Interval
from repaudit.report.section import Section, Text


class BaselineSection(Section):
    """The report that this one was compared with."""

    sha256: Text
    """Of its file."""
    model: Text
    """What its model reference resolved to."""
    weights_sha256: Text
    notes: list[Text] = Field(default_factory=list)
    """How the two differ without keeping them from being compared, such as preprocessing."""


class Comparison(Section):
    """One metric beside the baseline's, on pairs of the same images."""

    value: float
    """The metric of this report."""
    baseline: float
    """The metric of the baseline."""
    worse: float
    """By how much this model is worse on the pairs, in the metric's own bad direction; negative where it is better."""
    unit: Unit | Text
    better: Better
    n: Annotated[int, Field(ge=0)]
    """Pairs: images that count in both."""
    interval: Interval | None
    """Of `worse`, two-sided; it covers the drawing of images only."""
    interval_reason: Text | None
    detectable: float | None
    """The true worsening that a one-sided test at 95 % would find in four of five draws of so many images."""
    baseline_error_share: float | None = None
    """The baseline's images that its attack left without a verdict; null where no attack was asked."""
