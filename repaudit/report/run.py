"""All that may differ between two runs of the same thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from repaudit.report.provenance import Values
from repaudit.report.section import Section, Sorted, Text

_SECRET = r"[\w.-]*(?:token|secret|password|passwd|api[_-]?key|access[_-]?key|credential|authorization)[\w.-]*"
_SECRET_FLAG = re.compile(rf"--?{_SECRET}", re.IGNORECASE)
_HIDDEN = (
    (re.compile(rf"({_SECRET}=)[^&\s]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(\w+://)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"([?&](?:sig|signature|x-amz-\w+|x-goog-\w+)=)[^&\s]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"\b(?:hf|ghp|gho|ghs|glpat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}"), "***"),
)


def scrubbed(arguments: Sequence[str]) -> list[str]:
    """A command line without its secrets.

    Hidden are values of options and keys whose names speak of tokens, passwords or keys,
    credentials and signatures inside addresses, and words in the form of well-known access tokens.
    """
    clean: list[str] = []
    hide_next = False
    for argument in arguments:
        text = "***" if hide_next else argument
        hide_next = _SECRET_FLAG.fullmatch(argument) is not None
        for pattern, replacement in _HIDDEN:
            text = pattern.sub(replacement, text)
        clean.append(text)
    return clean


class RunStatus(StrEnum):
    """How far a run came."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """Some audits could not finish, or somebody stopped it."""
    FAILED = "failed"
    """No audit finished."""


class EvaluationShapeEntry(Section):
    """How many rows the network is called with."""

    rows: int
    """Of every call; short calls are padded."""
    calls: int
    """How many such calls the attack pool holds."""


class Environment(Section):
    """Machine and libraries."""

    python: Text
    platform: Text
    packages: Sorted[Text]
    """Versions by name."""
    device: Text
    """Where the network ran."""
    cpu: Text
    threads: int
    accelerators: list[Text] = Field(default_factory=list)
    numerics: Values
    """Precision and determinism settings."""
    evaluation_shape: EvaluationShapeEntry


class Cost(Section):
    """What one stretch of work took."""

    duration_s: Annotated[float, Field(ge=0)]
    forward_rows: Annotated[int, Field(ge=0)]
    """Images sent forward through the network, padding included."""
    backward_rows: Annotated[int, Field(ge=0)]
    """Images for which an input gradient was taken."""
    cached: bool = False
    """An earlier run had done all of it."""
    resumed: bool = False
    """An earlier run had done part of it."""


class Run(Section):
    """One execution."""

    id: Text
    status: RunStatus
    message: Text | None = None
    """What stopped it; null where status is complete."""
    exit_code: int
    argv: list[Text]
    """The command line, secrets replaced by ***."""
    started_utc: Text
    """ISO 8601."""
    duration_s: Annotated[float, Field(ge=0)]
    judged_on: date | None = None
    """The day, in UTC, by which waivers were counted; null where nothing was judged yet."""
    seed: int
    environment: Environment
    clean_pass: Cost
    """The one pass over the images that all audits share."""
    audits: dict[Text, Cost]
    """By audit, in the order in which they ran."""
