"""A value of a profile as a message quotes it."""

from __future__ import annotations

LONGEST = 60


def shown(value: object) -> str:
    """The value as Python writes it, cut after 60 characters."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}…"
