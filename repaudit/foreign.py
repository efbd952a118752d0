"""Code that is not ours: a user's network or factory may raise anything, and must not end the program by it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST = 300
MOST_LINES = 4
_TELLING = re.compile(r"\bgot\b.*\bexpected\b|\bexpected\b.*\bgot\b|^\s*\w*Error: ", re.IGNORECASE)


@contextmanager
def contained() -> Iterator[None]:
    """Makes an ordinary failure of whatever would pass every handler: `SystemExit`, above all.

    Raises:
        RuntimeError: in place of an exception that is no `Exception`; Ctrl-C passes.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as leaving:
        raise RuntimeError(f"it tried to end the program by {said(leaving)}") from leaving


def said(error: BaseException) -> str:
    """An exception in one line, such as `RuntimeError: mat1 and mat2 shapes cannot be multiplied`.

    Of a message of several lines the first and those that say what was met and what was wanted.
    """
    first, *others = str(error).strip().splitlines() or [""]
    text = " … ".join([first, *[line.strip() for line in others if _TELLING.search(line)][:MOST_LINES]])
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…"
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def place(error: BaseException, files: Iterable[str]) -> str | None:
    """The last line of a user's own files that an exception came through, such as `net.py, line 12, in forward`.

    Args:
        error: as it was caught.
        files: names of those files, as a card has them: POSIX paths below the folder of the `py:` file.

    Returns:
        None where it came through none of them.
    """
    sources = [name for name in files if name.endswith(".py")]
    if error.__cause__ is not None and (deeper := place(error.__cause__, sources)) is not None:
        return deeper
    for frame in reversed(extract_tb(error.__traceback__)):
        path = Path(frame.filename).as_posix()
        for name in sources:
            if path == name or path.endswith(f"/{name}"):
                return f"{name}, line {frame.lineno}, in {frame.name}"
    return None
