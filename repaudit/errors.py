"""Every way in which repaudit refuses or gives up.

    RepauditError                 has a problem, a detail and a remedy
    ├── UsageError          (2)   the command, profile, model or data must change; nothing was measured
    │   ├── InvalidModel          a model reference, checkpoint or architecture
    │   ├── InvalidData           a data reference, a label mapping, an image
    │   ├── InvalidProfile        a profile, a gate, an audit's parameter
    │   ├── InvalidRecipe         a training recipe, a method of labelling, a folder of other runs
    │   ├── InvalidOutput         a place where nothing can be written
    │   ├── InvalidReport         a saved report that is truncated, foreign or of a newer major version
    │   └── InvalidJournal        a record of earlier attacks that belongs to another evaluation, or is damaged
    ├── UnfinishedError     (3)   started, could not finish; what was measured is kept
    └── Interrupted   (130/143)   somebody stopped it; the same command continues

Functions of `repaudit.metrics` raise plain `ValueError`: they know arrays, not users.
"""

from __future__ import annotations

import re
import signal
import unicodedata
from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


_COMMAND_TO_CI = re.compile(
    r"::(?=(?:[a-z]+-[a-z-]+|debug|notice|warning|error|group|endgroup|echo)\b)|##(?=[a-z]*\[)", re.IGNORECASE
)
"""GitHub's `::name::` at the beginning of a line, blanks aside; its old `##[name]` and Azure's `##vso[` anywhere."""

_LOOK_ALIKE = str.maketrans("lIO", "110")


class RepauditError(Exception):
    """Something a person must know: what is wrong, why, and what mends it."""

    exit_status: ClassVar[int] = 3

    def __init__(self, problem: str, *, detail: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        """What is wrong, with the value seen."""
        self.detail = detail
        """Why, as many lines as it needs."""
        self.remedy = remedy
        """The command (or the edit) that mends it."""
        for line in self._below():
            self.add_note(line)

    def render(self) -> str:
        """The three-part message as it is printed on stderr.

        What names of files and classes bring along must not act on a terminal: only the line breaks of `detail` count.
        """
        return "\n".join([f"repaudit: {printable(self.problem)}", *self._below()])

    def _below(self) -> list[str]:
        """What stands below the problem, in a message as in a traceback."""
        told = self.detail.replace("\r\n", "\n").strip("\n").expandtabs(4)
        lines = [f"  {printable(line)}" for line in told.split("\n")] if self.detail else []
        return [*lines, f"  try: {printable(self.remedy)}"] if self.remedy else lines


class UsageError(RepauditError):
    """The command must change; nothing was measured."""

    exit_status = 2


class InvalidModel(UsageError):
    """A model reference, checkpoint, architecture or preprocessing that cannot be used."""


class InvalidData(UsageError):
    """A data reference, label mapping or image that cannot be used."""


class InvalidProfile(UsageError):
    """A profile, gate or audit parameter that makes no sense."""


class InvalidRecipe(UsageError):
    """A training recipe or one of its values that makes no sense, or a folder that belongs to another one."""


class InvalidOutput(UsageError):
    """An output path that cannot be written."""


class InvalidReport(UsageError):
    """A saved report that cannot be read."""


class InvalidJournal(UsageError):
    """A record of an earlier evaluation that cannot be continued."""


class UnfinishedError(RepauditError):
    """The work started and could not finish; what was measured is kept."""

    exit_status = 3


class Interrupted(RepauditError):
    """A signal stopped the work; what was done is kept."""

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(
            f"interrupted ({name})",
            remedy="the same command again; it continues where it stopped",
        )
        self.signal_number = signal_number

    @property
    def status(self) -> int:
        """128 + the signal's number, as shells report it: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal_number


def printable(text: str) -> str:
    r"""A foreign name on one line: control, format and surrogate characters become escapes such as `\n`.

    What a CI server would take for a command to itself, such as `::error::`, wherever a line is wrapped, loses its
    first character to an escape.
    """
    shown = "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character)[0] == "C" or character in "\u2028\u2029"
        else character
        for character in text
    )
    return _COMMAND_TO_CI.sub(lambda found: f"\\x{ord(found[0][0]):02x}{found[0][1:]}", shown)


def nearest(asked: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like `asked`, best first; empty when none is near.

    Of names that are equally like it, first those that differ by what looks alike, then those that are known first.
    """
    names = list(dict.fromkeys(known))
    close = set(get_close_matches(asked, names, n=max(len(names), 1), cutoff=0.5))
    return sorted((name for name in names if name in close), key=lambda name: _likeness(asked, name), reverse=True)[
        :count
    ]


def _likeness(asked: str, name: str) -> tuple[float, float]:
    pairs = [(asked, name), (asked.translate(_LOOK_ALIKE), name.translate(_LOOK_ALIKE))]
    as_written, as_seen = (SequenceMatcher(None, known, given).ratio() for given, known in pairs)
    return as_written, as_seen
