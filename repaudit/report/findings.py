"""Findings of the audits as the report keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
from pydantic import Field, JsonValue, model_validator

from repaudit.finding import Better, Column, Figure, Finding, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import Interval
from repaudit.report.section import Section, Text, json_value


class Metric(Section):
    """One number with what a reader needs to trust it."""

    value: float
    """Point estimate, always finite; fractions run from 0 to 1."""
    unit: Unit | Text
    """What it is counted in; a later minor version may name further units."""
    better: Better
    """Which way is good."""
    n: Annotated[int, Field(ge=0)]
    """How many images (or classes, where the note says so) it rests on."""
    interval: Interval | None
    """Two-sided, at `level`; `state` holds what a one-sided bound at another level needs."""
    interval_reason: Text | None
    """Why there is no interval; null exactly where there is one."""
    note: Text
    """The convention in a few words; may be empty."""

    @model_validator(mode="after")
    def _interval_or_reason(self) -> Metric:
        if (self.interval is None) == (self.interval_reason is None):
            raise ValueError("a metric has either an interval or the reason why it has none")
        return self

    @classmethod
    def of(cls, measurement: Measurement) -> Metric:
        """The report's form of what an audit measured."""
        return cls(
            value=float(measurement.value),
            unit=measurement.unit,
            better=measurement.better,
            n=int(measurement.n),
            interval=measurement.interval,
            interval_reason=measurement.interval_reason,
            note=measurement.note,
        )


class AuditStatus(StrEnum):
    """How an audit ended."""

    OK = "ok"
    SKIPPED = "skipped"
    """The model or the data lack what it needs."""
    ERROR = "error"
    """It started and could not finish."""


class AuditEntry(Section):
    """One audit: what was asked, and what it could not say."""

    id: Text
    question: Text | None = None
    """What it asks, in plain words; null in reports of the first versions."""
    version: int
    """Rises when the same inputs give another number."""
    status: AuditStatus
    reason: Text | None = None
    """Why it was skipped or what went wrong; null where status is ok."""
    params: dict[str, JsonValue]
    """Every parameter, defaults included."""
    images_count: Annotated[int, Field(ge=0)]
    """Images that it looked at."""
    skipped: dict[Text, Text] = Field(default_factory=dict)
    """Reasons by metric key; in a key, `*` stands for one segment and a last `*` for one or more."""


class WarningEntry(Section):
    """Something that a reader must know beside the numbers."""

    code: Text
    """Stable kebab-case name."""
    message: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Findings by kind, ready for the report."""

    metrics: Mapping[str, Metric]
    figures: Mapping[str, dict[str, JsonValue]]
    skipped: Mapping[str, str]
    warnings: tuple[WarningEntry, ...]
    columns: Mapping[str, np.ndarray]


def gather(findings: Iterable[Finding]) -> Gathered:
    """Sorts findings into what the report keeps.

    Raises:
        ValueError: a key or a column appears twice, a key is both measured and skipped, or a
            figure holds a number that is not finite.
    """
    metrics: dict[str, Metric] = {}
    figures: dict[str, dict[str, JsonValue]] = {}
    skipped: dict[str, str] = {}
    columns: dict[str, np.ndarray] = {}
    warnings: dict[WarningEntry, None] = {}  # several audits look at the same network before they begin
    for finding in findings:
        match finding:
            case Measurement(key=key):
                _claim(key, metrics, skipped)
                metrics[key] = Metric.of(finding)
            case Skipped(key=key, reason=reason):
                _claim(key, metrics, skipped)
                skipped[key] = reason
            case Figure(key=key, data=data):
                _claim(key, figures)
                figures[key] = {name: json_value(item, f"{key}.{name}") for name, item in data.items()}
            case Column(name=name, values=values):
                _claim(name, columns)
                columns[name] = values
            case Notice(code=code, message=message):
                warnings[WarningEntry(code=code, message=message)] = None
    return Gathered(metrics=metrics, figures=figures, skipped=skipped, warnings=tuple(warnings), columns=columns)


def _claim(key: str, *taken: Mapping[str, object]) -> None:
    if any(key in names for names in taken):
        raise ValueError(f"`{key}` was found twice")
