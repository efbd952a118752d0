"""Data of figures read with care: a later version, or another program, may have written them otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue


def numbers(figure: Mapping[str, JsonValue], name: str) -> list[float] | None:
    """A list of numbers, or None where it is none."""
    values = figure.get(name)
    if not isinstance(values, list):
        return None
    found = [float(value) for value in values if isinstance(value, int | float)]
    return found if len(found) == len(values) else None


def words(figure: Mapping[str, JsonValue], name: str) -> list[str] | None:
    """A list of texts or numbers, as texts; None where it is none."""
    values = figure.get(name)
    if not isinstance(values, list):
        return None
    found = [str(value) for value in values if isinstance(value, str | int | float)]
    return found if len(found) == len(values) else None


def one_word(figure: Mapping[str, JsonValue], name: str) -> str:
    """A text or a number, as a text; empty where it is none."""
    value = figure.get(name)
    return str(value) if isinstance(value, str | int | float) else ""


def one_number(figure: Mapping[str, JsonValue], name: str) -> float | None:
    """A number, or None where it is none."""
    value = figure.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
