"""What the two papers printed, in the metrics of this program; how each table measured is kept beside it."""

from __future__ import annotations

from repaudit.published.architectures import is_same_architecture
from repaudit.published.rows import PublishedRow, conventions, rows
from repaudit.published.tables import Paper

__all__ = ["Paper", "PublishedRow", "conventions", "is_same_architecture", "rows"]
