"""The most confident mistakes as pictures, where the scan was asked to keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from repaudit.render.html.series import one_number, one_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

    from repaudit.render.html.limits import Limits
    from repaudit.report import Report

AUDIT, FIGURE = "mistakes", "mistakes.most_confident"
_JPEG = re.compile(r"/9j/[A-Za-z0-9+/]+={0,2}")
"""A JPEG in base64: its first three bytes are FF D8 FF."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One picture and what was said of it."""

    id: str
    label: str
    prediction: str
    confidence: str
    source: Markup
    """A `data:` address; nothing in it needs an escape."""


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The pictures that are shown."""

    images: tuple[Mistake, ...]
    left: int
    """How many more the report has, which did not fit or are no JPEG."""


def mistakes(report: Report, limits: Limits) -> Mistakes | None:
    """The pictures as far as there is room, or None where the report has none."""
    entries = report.figures.get(FIGURE, {}).get("images")
    if not isinstance(entries, list):
        return None
    room = limits.thumbnails
    shown: list[Mistake] = []
    for entry, jpeg in _pictures(entries):
        if len(jpeg) <= room and len(shown) < limits.rows:
            room -= len(jpeg)
            shown.append(_mistake(entry, jpeg, limits))
    return Mistakes(tuple(shown), len(entries) - len(shown)) if entries else None


def _pictures(entries: list[JsonValue]) -> Iterator[tuple[Mapping[str, JsonValue], str]]:
    for entry in entries:
        if isinstance(entry, dict) and isinstance(jpeg := entry.get("jpeg"), str) and _JPEG.fullmatch(jpeg):
            yield entry, jpeg


def _mistake(entry: Mapping[str, JsonValue], jpeg: str, limits: Limits) -> Mistake:
    confidence = one_number(entry, "confidence")
    return Mistake(
        id=limits.named(one_word(entry, "id")),
        label=limits.named(one_word(entry, "label_name") or one_word(entry, "label")),
        prediction=limits.named(one_word(entry, "prediction_name") or one_word(entry, "prediction")),
        confidence="" if confidence is None else f"{100 * confidence:.1f} %",
        source=Markup("data:image/jpeg;base64,{}").format(jpeg),
    )
