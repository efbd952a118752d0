"""Where a comparison goes and in which formats; a report of one model is never overwritten by one."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from repaudit.errors import InvalidOutput, UnfinishedError
from repaudit.output.destination import Outputs, Target, require_writable
from repaudit.output.formats import BEGINNING, Format
from repaudit.report import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repaudit.leaderboard import Leaderboard

_FORMATS = (Format.JSON, Format.HTML, Format.MARKDOWN, Format.CSV)
_BEGINNINGS: Mapping[Format, str] = MappingProxyType(
    {Format.MARKDOWN: "<!-- repaudit comparison -->\n", Format.CSV: "model,report,role,metric,value,"}
)
_PARTS: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {Format.HTML: ('<meta name="generator" content="repaudit', " models side by side · repaudit</title>")}
)
"""What the beginning of a comparison holds, by which it is known from every other file, reports of ours included."""


def prepare_comparison(wanted: Sequence[str]) -> Outputs:
    """Turns `-o` values into files and proves that each can be written.

    Raises:
        InvalidOutput: an unknown format, a folder, a place that cannot be written, or a file that is no comparison.
    """
    targets = [_target(Path(each)) for each in wanted if each != "-"]
    return Outputs(tuple(dict.fromkeys(targets)), (), "-" in wanted)


def save_comparison(board: Leaderboard, targets: Sequence[Target]) -> tuple[Path, ...]:
    """Writes a comparison to all its places, each file whole or not at all.

    Returns:
        The files.

    Raises:
        UnfinishedError: a file cannot be written.
    """
    for target in targets:
        content = rendered_comparison(board, target.format).encode("utf-8")
        try:
            replace_file(target.path, content)
        except OSError as error:
            raise UnfinishedError(
                f"the comparison could not be written to `{target.path}`: {error.strerror}",
                remedy="-o another/folder/comparison.html",
            ) from None
    return tuple(target.path for target in targets)


def rendered_comparison(board: Leaderboard, wanted: Format) -> str:
    """The whole text of a comparison in one format.

    Raises:
        ValueError: comparisons have no such format.
    """
    match wanted:
        case Format.JSON:
            return board.to_json()
        case Format.HTML:
            from repaudit.render.leaderboard.html import to_html

            return to_html(board)
        case Format.MARKDOWN:
            from repaudit.render.leaderboard.markdown import to_markdown

            return to_markdown(board)
        case Format.CSV:
            from repaudit.render.leaderboard.csv import to_csv

            return to_csv(board)
        case Format.JUNIT:
            raise ValueError("a comparison has no gates, and so no JUnit form")


def is_comparison(path: Path) -> bool:
    """Whether a file is a comparison that repaudit wrote, as far as its beginning tells."""
    try:
        wanted = Format(path.suffix)
        if wanted is Format.JSON:
            content = json.loads(path.read_text(encoding="utf-8"))
            tool = content.get("tool") if isinstance(content, dict) else None
            named = isinstance(tool, dict) and tool.get("name") == "repaudit"
            return named and content.get("kind") == "comparison"
        with path.open("rb") as file:
            beginning = file.read(BEGINNING).decode("utf-8", "replace")
    except (OSError, ValueError, RecursionError):
        return False
    if wanted in _BEGINNINGS:
        return beginning.startswith(_BEGINNINGS[wanted])
    return wanted in _PARTS and all(part in beginning for part in _PARTS[wanted])


def _target(path: Path) -> Target:
    if path.is_dir():
        raise InvalidOutput(
            f"`{path}` is a folder, and a comparison goes into a file", remedy=f"-o {path / 'comparison.html'}"
        )
    if path.suffix not in _FORMATS:
        raise InvalidOutput(
            f"`{path}`: no format of a comparison is called `{path.suffix}`"
            if path.suffix
            else f"`{path}` has no extension, which says the format of a comparison",
            detail=f"formats: {', '.join(_FORMATS)}; - is JSON on stdout",
            remedy=f"-o {path.with_name(f'{path.stem}.html')}",
        )
    require_writable(path, is_comparison, "comparison")
    return Target(path, Format(path.suffix))
