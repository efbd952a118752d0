"""How much of a report a page shows: whatever a report holds, its page stays small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from repaudit.render.plain import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The first of many."""

    items: tuple[T, ...]
    left: int
    """How many more there are, which only the JSON shows."""

    def each(self, make: Callable[[T], S]) -> Listing[S]:
        """The same listing of what is made of each item."""
        return Listing(tuple(make(item) for item in self.items), self.left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds of everything that could grow."""

    rows: int
    """Of one table or list."""
    classes: int
    """Rows of the table of all classes."""
    audits: int
    text: int
    """Characters of a sentence."""
    name: int
    """Characters of a name."""
    lines: int
    """Of the resolved profile."""
    figures: int
    """Bytes of all drawings together."""
    thumbnails: int
    """Bytes of all thumbnails together."""

    def cut(self, items: Iterable[T], most: int | None = None) -> Listing[T]:
        """The first `most` of some items, by default as many as a table may have."""
        whole = tuple(items)
        shown = whole[: self.rows if most is None else most]
        return Listing(shown, len(whole) - len(shown))

    def sentence(self, text: str) -> str:
        """A foreign sentence, printable and shortened."""
        return safe(text, self.text)

    def named(self, text: str) -> str:
        """A foreign name, printable and shortened."""
        return safe(text, self.name)


LEVELS = (
    Limits(rows=400, classes=2000, audits=40, text=500, name=120, lines=600, figures=1_100_000, thumbnails=350_000),
    Limits(rows=60, classes=400, audits=20, text=200, name=80, lines=200, figures=700_000, thumbnails=200_000),
    Limits(rows=10, classes=20, audits=10, text=100, name=40, lines=40, figures=300_000, thumbnails=0),
)
"""Tried in this order until the page is small enough; the last always is."""
