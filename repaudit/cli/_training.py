"""How far a matrix of runs is: a live table for a person, lines for a log."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from repaudit.render.plain import safe
from repaudit.train.events import Advanced, Audited, Began, Failed, Paused, Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from repaudit.train.events import Event

LINE_EVERY_S = 60.0
"""A log shows at least this often that a run is alive."""


@dataclass(slots=True)
class _Row:
    """One run as it stands."""

    state: str = "waits"
    epoch: int = 0
    excess: float | None = None
    accuracy: float | None = None
    done: bool = False


class Tracker:
    """Keeps what the events tell, and how long the rest will take."""

    def __init__(self, runs: Sequence[str], epochs: int, clock: Callable[[], float]) -> None:
        self.rows = {name: _Row() for name in runs}
        self.failures: dict[str, str] = {}
        self._epochs, self._clock = epochs, clock
        self._started, self._made = clock(), 0

    def hear(self, event: Event) -> None:
        """Takes in one event."""
        row = self.rows[event.run]
        match event:
            case Began():
                row.state, row.epoch = "trains", event.epoch
            case Advanced():
                row.epoch, row.excess = event.epoch.epoch, event.epoch.excess
                row.accuracy = row.accuracy if event.epoch.test is None else event.epoch.test.accuracy
                self._made += 1
            case Trained():
                row.state, row.accuracy, row.epoch = "is scanned", event.accuracy, self._epochs
            case Audited():
                row.state, row.done = "done" if event.exit_code == 0 else "a gate failed", True
            case Failed():
                row.state = "failed"
                self.failures[event.run] = event.message
            case Paused():
                row.state = "stopped"

    @property
    def left(self) -> float | None:
        """Seconds for the epochs that are left; None before one is over."""
        if not self._made:
            return None
        missing = sum(self._epochs - row.epoch for row in self.rows.values() if row.state not in ("failed", "done"))
        return missing * (self._clock() - self._started) / self._made

    @property
    def finished(self) -> int:
        """Runs with nothing left to do."""
        return sum(row.done for row in self.rows.values())

    def table(self) -> Table:
        """One row a run."""
        table = Table(box=None, pad_edge=False)
        for title in ("run", "state", "epoch", "excess loss", "accuracy"):
            table.add_column(title, justify="left" if title in ("run", "state") else "right")
        for name, row in self.rows.items():
            excess = "" if row.excess is None else f"{row.excess:.4f}"
            accuracy = "" if row.accuracy is None else f"{row.accuracy:.3f}"
            table.add_row(safe(name), row.state, f"{row.epoch}/{self._epochs}", excess, accuracy)
        left = self.left
        table.caption = f"{self.finished} of {len(self.rows)} done" + (
            "" if left is None else f", {_time(left)} to train"
        )
        return table


@contextmanager
def tracked(
    stream: TextIO, runs: Sequence[str], epochs: int, *, quiet: bool, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[Tracker, Callable[[Event], None]]]:
    """The state of all runs and what hears their events, in the form that the stream can show.

    Args:
        stream: stderr.
        runs: names, in the order of the table.
        epochs: of each.
        quiet: nothing is shown; the state is kept.
        clock: seconds.
    """
    tracker = Tracker(runs, epochs, clock)
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    if quiet:
        yield tracker, tracker.hear
    elif not stream.isatty() or console.is_dumb_terminal:
        yield tracker, _Lines(tracker, stream, clock).hear
    else:
        with Live(tracker.table(), console=console, refresh_per_second=4, redirect_stdout=False) as live:

            def hear(event: Event) -> None:
                tracker.hear(event)
                live.update(tracker.table())

            yield tracker, hear


class _Lines:
    """One line where something ends, and one a minute."""

    def __init__(self, tracker: Tracker, stream: TextIO, clock: Callable[[], float]) -> None:
        self._tracker, self._stream, self._clock = tracker, stream, clock
        self._told = clock()

    def hear(self, event: Event) -> None:
        self._tracker.hear(event)
        line = self._line(event)
        if line is not None:
            self._told = self._clock()
            self._stream.write(f"{safe(event.run)}: {line}\n")
            self._stream.flush()

    def _line(self, event: Event) -> str | None:
        match event:
            case Trained():
                return f"accuracy {event.accuracy:.3f}" + (" (trained earlier)" if event.earlier else "")
            case Audited():
                return f"scanned ({self._tracker.finished} of {len(self._tracker.rows)} done)"
            case Failed():
                return f"failed\n{event.message}"
            case Paused():
                return "stopped; its checkpoint is kept"
            case Advanced() if self._clock() - self._told > LINE_EVERY_S:
                left = self._tracker.left
                told = "" if left is None else f", {_time(left)} left for all"
                return f"epoch {event.epoch.epoch} of {event.epoch.epochs}, excess loss {event.epoch.excess:.4f}{told}"
            case _:
                return None


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
