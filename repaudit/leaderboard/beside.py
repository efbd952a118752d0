"""What a paper printed, ready to stand beside measured models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.leaderboard.sections import PublishedEntry
from repaudit.published import PublishedRow, conventions, is_same_architecture, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.published import Paper


@dataclass(frozen=True, slots=True)
class Printed:
    """Printed rows and what must be known of them."""

    entries: tuple[PublishedEntry, ...] = ()
    keys: tuple[str, ...] = ()
    """Metrics that they have."""
    notes: tuple[str, ...] = ()


def printed_beside(paper: Paper | None, architectures: Sequence[str]) -> Printed:
    """The printed rows of the same architectures; all of the paper's where it has none of them.

    Args:
        paper: whose; None for nobody's.
        architectures: as the reports name them.
    """
    if paper is None:
        return Printed()
    known = rows(paper)
    same = [row for row in known if any(_is_same(row, architecture) for architecture in architectures)]
    shown = same or known
    entries = tuple(
        PublishedEntry(
            name=row.name,
            paper=paper.name,
            tables=list(row.tables),
            values=dict(row.values),
            missing=dict(row.missing),
        )
        for row in shown
    )
    networks = ", ".join(dict.fromkeys(row.model for row in same if row.model))
    which = (
        f"{len(entries)} published rows of {paper.name}: those of {networks}, as the reports' architectures."
        if same
        else f"All {len(entries)} published rows of {paper.name}: it has none of the reports' architectures."
    )
    never = "Published figures come from other runs and often other images: they are never paired and never judged."
    slips = dict.fromkeys(
        f"{row.name}: {key} is left out: the printed figure {reason}."
        for row in shown
        for key, reason in row.missing.items()
    )
    keys = dict.fromkeys(key for row in shown for key in row.values)
    return Printed(entries, tuple(keys), (which, never, *conventions(paper), *slips))


def _is_same(row: PublishedRow, architecture: str) -> bool:
    return row.model is not None and is_same_architecture(row.model, architecture)
