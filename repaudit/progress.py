"""How long work reports that it is alive, without knowing who listens."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Stage(Protocol):
    """One stretch of work with a known size."""

    def advance(self, count: int) -> None:
        """Says that `count` more units are done."""
        ...

    def spare(self, count: int) -> None:
        """Says that `count` units of those left need not be done after all."""
        ...


class Progress(Protocol):
    """Where stages and remarks go; the command line alone decides how they look."""

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Stage]:
        """Opens a stage of `total` units, such as `progress.stage("clean pass", 50_000, "images")`."""
        ...

    def note(self, text: str) -> None:
        """One line that a person should see now: a resolution, a fallback, a warning."""
        ...

    def failure(self, name: str, error: Exception) -> None:
        """Something of this name went wrong and the rest goes on; the traceback is for `-v`."""
        ...


class _Quiet:
    def advance(self, count: int) -> None:
        """Forgets it."""

    def spare(self, count: int) -> None:
        """Forgets it."""


class SilentProgress:
    """Reports nothing: for tests and for library use."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """A stage nobody watches."""
        yield _Quiet()

    def note(self, text: str) -> None:
        """Forgets the remark."""

    def failure(self, name: str, error: Exception) -> None:
        """Forgets the failure; whoever called reads it from the result."""
