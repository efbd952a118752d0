"""What an audit says: numbers with what a reader needs to trust them, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from repaudit.metrics.intervals import Interval

NOT_RESAMPLED = "not resampled: cost"
NOT_SAMPLED = "not sampled"

FigureValue: TypeAlias = str | int | float | bool | Sequence["FigureValue"] | Mapping[str, "FigureValue"] | None


class Unit(StrEnum):
    """What a number is counted in."""

    FRACTION = "fraction"
    NATS = "nats"
    RATIO = "ratio"
    STEPS = "steps"
    COSINE = "cosine"
    CORRELATION = "correlation"
    SCALE = "scale"
    """In units of the features or weights themselves."""


class Better(StrEnum):
    """Which way is good; a gate's `worse(metric)` needs it."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"
    """Describes the model; neither direction is good by itself."""


class Bounds(StrEnum):
    """Which one-sided bounds a key's interval gives; a few images may leave it without any."""

    ANY = "any level"
    RESAMPLED = "levels that the kept quantiles of the resamples reach"
    NONE = "no interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySpec:
    """What an audit promises of a key before anything is measured, so that gates on it can be refused in time."""

    pattern: str
    """The key; `*` stands for one segment."""
    unit: Unit
    better: Better
    bounds: Bounds


def key_specs(unit: Unit, better: Better, bounds: Bounds, *patterns: str) -> tuple[KeySpec, ...]:
    """Keys that have unit, direction and bounds in common."""
    return tuple(KeySpec(pattern=pattern, unit=unit, better=better, bounds=bounds) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a key is, for somebody who meets it for the first time."""

    text: str
    """In a sentence or two, with its formula where a formula is shorter."""
    source: str
    """Paper, equation or table; or the argument where there is no paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number with its unit, direction, count and interval.

    Raises:
        ValueError: the value is not finite (it should have been `Skipped`), or there is
            neither an interval nor a reason for its absence, or both.
    """

    key: str
    """Dotted name that a profile can gate on, such as `calibration.ece`."""
    value: float
    """Point estimate in `unit`; always finite."""
    unit: Unit
    better: Better
    n: int
    """How many images (or classes, where `note` says so) the estimate rests on."""
    interval: Interval | None = None
    interval_reason: str | None = None
    """Why there is no interval."""
    note: str = ""
    """The convention in a few words, such as `15 equal-width bins (a,b]`."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"`{self.key}` is {self.value}: a number that could not be had is Skipped")
        if (self.interval is None) == (self.interval_reason is None):
            raise ValueError(f"`{self.key}` needs either an interval or the reason why it has none")


NOT_NEEDED = "not needed"
"""How a reason begins where nobody misses the number: shown only to those who want to see everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A number that could not be had, and why. A gate on it never passes."""

    key: str
    """A metric's key, or a prefix ending in `.*` for a whole family."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The data behind one plot: JSON values only, already aggregated."""

    key: str
    """Dotted name, such as `calibration.reliability`."""
    data: Mapping[str, FigureValue]


def plotted(values: np.ndarray) -> list[float | None]:
    """Numbers as a plot needs them: four digits that count, None where one is not finite.

    Args:
        values: (n,) of any float type.
    """
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values.tolist()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One value per image of the evidence, kept in the report's sidecar.

    Raises:
        ValueError: the values are not one-dimensional, or of a dtype that needs pickle.
    """

    name: str
    values: np.ndarray = field(repr=False)
    """(n,), aligned with the evidence's ids; float columns may hold NaN where an image was not in question."""

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.dtype.hasobject:
            raise ValueError(f"column `{self.name}` must be one-dimensional and free of objects")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a reader of the report must know beside the numbers."""

    code: str
    """Stable kebab-case name, such as `few-images-per-class`."""
    message: str


Finding: TypeAlias = Measurement | Skipped | Figure | Column | Notice
