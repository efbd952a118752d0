"""The formats of a report, by the extension of the file."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from repaudit.report import Report

BEGINNING = 4096
"""Bytes of a file within which its mark stands."""


class Format(StrEnum):
    """What a report can be written as; the value is the file's extension."""

    JSON = ".json"
    """The report itself, with `per_image.npz` beside it."""
    HTML = ".html"
    MARKDOWN = ".md"
    JUNIT = ".xml"
    CSV = ".csv"


MARKS: Mapping[Format, str] = {
    Format.HTML: '<meta name="generator" content="repaudit',
    Format.MARKDOWN: "<!-- repaudit report -->",
    Format.JUNIT: '<testsuites name="repaudit"',
    Format.CSV: "metric,value,unit,",
}
"""What the beginning of a file of ours holds, so that no other file is overwritten."""
_FIRST = (Format.MARKDOWN, Format.CSV)
"""Formats whose mark is the very first thing in the file."""


def rendered(report: Report, wanted: Format) -> str:
    """The whole text of a report in one format."""
    match wanted:
        case Format.JSON:
            return report.to_json()
        case Format.HTML:
            from repaudit.render.html import to_html

            return to_html(report)
        case Format.MARKDOWN:
            from repaudit.render.markdown import to_markdown

            return to_markdown(report)
        case Format.JUNIT:
            from repaudit.render.junit import to_junit

            return to_junit(report)
        case Format.CSV:
            from repaudit.render.csv import to_csv

            return to_csv(report)


def is_ours(path: Path) -> bool:
    """Whether a file was written by repaudit, as far as its beginning tells."""
    try:
        wanted = Format(path.suffix)
        if wanted is Format.JSON:
            content = json.loads(path.read_text(encoding="utf-8"))
            tool = content.get("tool") if isinstance(content, dict) else None
            named = isinstance(tool, dict) and tool.get("name") == "repaudit"
            return named and content.get("kind") is None  # a comparison is no report
        with path.open("rb") as file:
            beginning = file.read(BEGINNING).decode("utf-8", "replace")
    except (OSError, ValueError):
        return False
    return beginning.startswith(MARKS[wanted]) if wanted in _FIRST else MARKS[wanted] in beginning
