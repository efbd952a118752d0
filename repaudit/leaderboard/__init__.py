"""Several models side by side, each compared with the first image by image."""

from __future__ import annotations

from repaudit.leaderboard.build import board_of, leaderboard
from repaudit.leaderboard.entrants import Entrant, open_entrant
from repaudit.leaderboard.sections import (
    Cell,
    Column,
    Difference,
    FalseFindings,
    Leaderboard,
    PublishedEntry,
    Row,
    Standing,
    Tally,
)

__all__ = [
    "Cell",
    "Column",
    "Difference",
    "Entrant",
    "FalseFindings",
    "Leaderboard",
    "PublishedEntry",
    "Row",
    "Standing",
    "Tally",
    "board_of",
    "leaderboard",
    "open_entrant",
]
