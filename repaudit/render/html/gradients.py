"""Gradients of logits with respect to a few images, as pictures, where the scan was asked for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from repaudit.render.html.series import one_number, one_word
from repaudit.render.plain import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from repaudit.render.html.limits import Limits
    from repaudit.report import Report

AUDIT, FIGURE = "input_gradients", "input_gradients.pictures"
_JPEG = re.compile(r"/9j/[A-Za-z0-9+/]+={0,2}")
"""A JPEG in base64: its first three bytes are FF D8 FF."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and what it is of."""

    title: str
    note: str
    source: Markup
    """A `data:` address; nothing in it needs an escape."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """The pictures that are shown."""

    rows: tuple[tuple[Picture, ...], ...]
    """One an image: the image itself, then its gradients."""
    left: int
    """Images that the report has, but that did not fit or have no sound pictures."""


def gradients(report: Report, limits: Limits) -> Gradients | None:
    """The pictures as far as there is room, or None where the report has none."""
    entries = report.figures.get(FIGURE, {}).get("images")
    if not isinstance(entries, list) or not entries:
        return None
    room = limits.thumbnails
    rows: list[tuple[Picture, ...]] = []
    for entry in entries:
        jpegs = _jpegs(entry)
        size = sum(len(jpeg) for _, jpeg in jpegs)
        if isinstance(entry, dict) and jpegs and size <= room and len(rows) < limits.rows:
            room -= size
            rows.append(tuple(_picture(entry, part, jpeg, limits) for part, jpeg in jpegs))
    return Gradients(tuple(rows), len(entries) - len(rows))


def _jpegs(entry: JsonValue) -> list[tuple[Mapping[str, JsonValue], str]]:
    """The image and its gradients, as far as they are JPEG; nothing where the image is none."""
    if not isinstance(entry, dict):
        return []
    parts = entry.get("gradients")
    found: list[tuple[Mapping[str, JsonValue], str]] = [
        (part, jpeg)
        for part in (entry, *(parts if isinstance(parts, list) else []))
        if isinstance(part, dict) and isinstance(jpeg := part.get("jpeg"), str) and _JPEG.fullmatch(jpeg)
    ]
    return found if found and found[0][0] is entry else []


def _picture(entry: Mapping[str, JsonValue], part: Mapping[str, JsonValue], jpeg: str, limits: Limits) -> Picture:
    own = limits.named(one_word(entry, "label_name") or one_word(entry, "label"))
    source = Markup("data:image/jpeg;base64,{}").format(jpeg)
    if part is entry:
        return Picture(own, limits.named(one_word(entry, "id")), source)
    norm = one_number(part, "norm")
    told = "" if norm is None else f"norm {number(norm)}"
    title = own if part.get("kind") == "correct" else f"virtual class {limits.named(one_word(part, 'class'))}"
    return Picture(f"gradient of {title}", told, source)
