"""Foreign text inside Markdown: it formats nothing, links to nothing, calls nobody and breaks no table.

GitHub and GitLab look for `@name`, `#12`, commit hashes and addresses after the Markdown is rendered, so a backslash
does not stop them; inside code they do not look.
"""

from __future__ import annotations

import re

from repaudit.render.plain import LONGEST_NAME, safe

_BEFORE, _AFTER = "(\"'“", ".,;:!?)\"'”"
_WORD = "[0-9A-Za-z\u0080-\U0010ffff]+"
_NUMBER = "[-+]?[0-9]+(?:[.,][0-9]+)*"
_PLAIN = re.compile(f"[{_BEFORE}]*(?:{_NUMBER}(?:/{_NUMBER})?|{_WORD}(?:[-/']{_WORD})*)?%?[{_AFTER}]*")
_REFERENCE = re.compile("[0-9a-fA-F]{7}|[A-Za-z]-[0-9]")
"""What looks plain and may still become a link: to a commit, or to an issue of a tracker."""
_LIST_ITEM = re.compile("[0-9]+[.)]")
_TOKEN = re.compile(r"(?:`[^`]+`|\S)+")
_QUOTED = re.compile(f"([{_BEFORE}]*)`([^`]+)`([{_AFTER}]*)")
_OPERATORS = {"=": "=", "<": r"\<", ">": r"\>", "<=": r"\<=", ">=": r"\>=", "~": r"\~"}


def code(text: str, longest: int = LONGEST_NAME) -> str:
    """A foreign name as code, in a table too; `–` for an empty one."""
    return _code(safe(text, longest))


def prose(text: str, longest: int = 400) -> str:
    """A sentence that may hold foreign names: plain words stay; all else, such as what stands in backticks, is code."""
    tokens = _TOKEN.findall(safe(text, longest))
    return " ".join(_token(token, first=not place) for place, token in enumerate(tokens))


def _token(token: str, *, first: bool) -> str:
    if quoted := _QUOTED.fullmatch(token):
        return f"{quoted[1]}{_code(quoted[2])}{quoted[3]}"
    core = token.lstrip(_BEFORE).rstrip(_AFTER)
    if _PLAIN.fullmatch(token) and not _REFERENCE.search(core) and not (first and _LIST_ITEM.fullmatch(token)):
        return token
    before, _, after = token.partition(core)
    if after.startswith(")") and core.count("(") > core.count(")"):
        core, after = f"{core})", after[1:]
    return f"{before}{_OPERATORS.get(core) or _code(core)}{after}"


def _code(shown: str) -> str:
    """Between backticks where nothing in it could end a code span or a cell, else as an element."""
    if not shown.strip():
        return "–"
    if shown == shown.strip() and not set(shown) & set("`|"):
        return f"`{shown}`"
    return f"<code>{''.join(map(_character, shown))}</code>"


def _character(character: str) -> str:
    return character if character.isalnum() else f"&#{ord(character)};"
