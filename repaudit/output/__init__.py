"""Where a report goes and in which formats; nothing that is not ours is overwritten."""

from __future__ import annotations

from repaudit.output.destination import REPORT_NAME, Outputs, Target, prepare
from repaudit.output.formats import Format, rendered
from repaudit.output.saving import Saved, reopened, save

__all__ = ["REPORT_NAME", "Format", "Outputs", "Saved", "Target", "prepare", "rendered", "reopened", "save"]
