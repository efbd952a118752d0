"""The leaderboard as its JSON keeps it; every renderer reads only this."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from repaudit.finding import Better, Unit
from repaudit.report import RunStatus, Tool
from repaudit.report.section import Section, Text

SCHEMA_VERSION = "1.0"


class Standing(StrEnum):
    """How a model stands to the reference on one metric."""

    BETTER = "better"
    """The interval of the difference, which covers the drawing of these images only, lies on the good side of 0.

    Masked gradients feign it on robustness: it counts for nothing there without `Row.masked`.
    """
    WORSE = "worse"
    UNPROVEN = "not told apart"
    """The interval holds 0, or images without a verdict took its proof away; the two need not be equal."""
    UNPAIRED = "not paired"


class Difference(Section):
    """This model − the reference, over the images that count in both."""

    value: float
    """In the metric's own unit: positive where this model's is larger."""
    low: float | None
    """Of the two-sided interval; null with `high` where pairs are too few for one."""
    high: float | None
    level: float
    method: Text | None
    n: Annotated[int, Field(ge=0)]
    """Pairs."""
    detectable: float | None
    """The true worsening that a one-sided test at 95 % would find in four of five draws of so many images."""


class Cell(Section):
    """One metric of one model."""

    value: float | None
    """Null where it was not measured."""
    low: float | None = None
    """Of the metric's own 95 % interval, where it has one."""
    high: float | None = None
    n: int | None = None
    difference: Difference | None = None
    """Null in the reference's row and where nothing was paired."""
    standing: Standing | None = None
    """Null in the reference's row, for metrics that are never paired, and where there is no value."""
    reason: Text | None = None
    """Why there is no value, no difference, or no proof in spite of one."""


class Tally(Section):
    """On which metrics a model is told apart from the reference, by key."""

    better: list[Text] = Field(default_factory=list)
    worse: list[Text] = Field(default_factory=list)
    unproven: list[Text] = Field(default_factory=list)
    unpaired: list[Text] = Field(default_factory=list)


class Column(Section):
    """One metric."""

    key: Text
    title: Text
    """As short as it still means one metric only."""
    unit: Unit | Text
    better: Better
    paired: bool
    """Whether it is compared image by image."""
    reason: Text | None
    """Why it is not; null where it is."""
    note: Text
    """The convention in a few words, as the first report that has it puts it."""


class Row(Section):
    """One model."""

    name: Text
    """Unique here."""
    model: Text
    """What its reference resolved to."""
    architecture: Text
    weights_sha256: Text
    report: Text
    """The file, as it was asked for."""
    report_sha256: Text
    reference: bool
    status: RunStatus | Text
    message: Text | None
    """What kept its scan from being complete."""
    unpaired: Text | None
    """Why nothing of it is paired."""
    notes: list[Text]
    """What else to know when it is put beside the reference."""
    masked: list[Text] | None
    """Failed checks for gradient masking; null where none was made."""
    tally: Tally
    cells: dict[Text, Cell]
    """By metric key, one for every column."""


class PublishedEntry(Section):
    """A network as a paper printed it; never paired and never judged."""

    name: Text
    paper: Text
    tables: list[Text]
    values: dict[Text, float]
    """By metric key; fractions run from 0 to 1."""
    missing: dict[Text, Text]
    """Why a printed figure is not used, by metric key."""


class FalseFindings(Section):
    """How many of the comparisons would seem to tell models apart if all were alike."""

    comparisons: int
    """Differences with an interval."""
    level: float
    expected: float
    """comparisons · (1 − level)."""


class Leaderboard(Section):
    """Models side by side."""

    schema_version: Annotated[str, Field(pattern=r"^1\.\d+$")] = SCHEMA_VERSION
    """Readers accept any 1.x and ignore the keys they do not know."""
    kind: Literal["comparison"] = "comparison"
    tool: Tool
    reference: Text
    """Name of the row that the others are compared with."""
    data: Text
    """The reference's images in a few words."""
    images_count: int
    fingerprint: Text
    """Of the reference's images."""
    sort: Text | None
    """Key that orders the rows; null where they stand as they were given.

    Best first, or largest first where neither direction is better.
    """
    columns: list[Column]
    rows: list[Row]
    false_findings: FalseFindings
    published: list[PublishedEntry] = Field(default_factory=list)
    notes: list[Text]
    """What holds for all of it."""

    def to_json(self) -> str:
        """Strict ASCII JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"
