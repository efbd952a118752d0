"""Progress on stderr: bars with rate and time left for a person, one line a stage for a log."""

from __future__ import annotations

import time
from contextlib import contextmanager
from traceback import format_exception
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from repaudit.errors import RepauditError
from repaudit.progress import SilentProgress
from repaudit.render.plain import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.progress import Task, TaskID

    from repaudit.progress import Progress, Stage

LONGEST_NOTE = 400
LINE_EVERY_S = 60.0
"""A log shows at least this often that a stage is alive."""


@contextmanager
def progress_for(
    stream: TextIO, *, quiet: bool, verbose: bool, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Progress in the form that the stream can show.

    Args:
        stream: stderr; never stdout, which belongs to the report.
        quiet: nothing at all.
        verbose: tracebacks with failures and, in a log, a line when a stage begins.
        clock: seconds.
    """
    if quiet:
        yield SilentProgress()
        return
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    if not stream.isatty() or console.is_dumb_terminal:
        yield LineProgress(stream, clock, verbose=verbose)
        return
    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}", markup=False),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=4,
        redirect_stdout=False,
    ) as bars:
        yield BarProgress(bars, verbose=verbose)


class _RateColumn(ProgressColumn):
    """Units per second, over the last seconds and, once finished, over all of the stage."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{_rate(speed)} {task.fields['unit']}/s")


class _Bar:
    def __init__(self, bars: Bars, task: TaskID, total: int) -> None:
        self._bars, self._task, self._total = bars, task, total

    def advance(self, count: int) -> None:
        self._bars.advance(self._task, count)

    def spare(self, count: int) -> None:
        self._total -= count
        self._bars.update(self._task, total=self._total)


class BarProgress:
    """Live bars in a terminal."""

    def __init__(self, bars: Bars, *, verbose: bool) -> None:
        self._bars, self._verbose = bars, verbose

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """A bar; it stays where it was when the stage ends early."""
        task = self._bars.add_task(safe(name), total=total, unit=safe(unit))
        try:
            yield _Bar(self._bars, task, total)
        finally:
            self._bars.stop_task(task)

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._bars.console.print(Text(safe(text, LONGEST_NOTE)))

    def failure(self, name: str, error: Exception) -> None:
        """Lines above the bars."""
        for line in _failure_lines(name, error, traceback=self._verbose):
            self._bars.console.print(Text(line))


class _Lines:
    def __init__(self, say: Callable[[int, int, float], None], clock: Callable[[], float], total: int) -> None:
        self._say, self._clock = say, clock
        self.done, self.total = 0, total
        self.started = self._said = clock()

    def advance(self, count: int) -> None:
        self.done += count
        now = self._clock()
        if now - self._said >= LINE_EVERY_S:
            self._said = now
            self._say(self.done, self.total, now - self.started)

    def spare(self, count: int) -> None:
        self.total -= count


class LineProgress:
    """Lines in a log."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], *, verbose: bool) -> None:
        self._stream, self._clock, self._verbose = stream, clock, verbose

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """One line at the end, and one a minute before."""
        name, unit = safe(name), safe(unit)

        def say(done: int, total: int, seconds: float) -> None:
            rate = f", {_rate(done / seconds)} {unit}/s" if seconds > 0 and done else ""
            left = f", {_duration((total - done) * seconds / done)} left" if 0 < done < total else ""
            self._print(f"{name}: {done:,} of {total:,} {unit} in {_duration(seconds)}{rate}{left}")

        if self._verbose:
            self._print(f"{name}: {total:,} {unit}")
        lines = _Lines(say, self._clock, total)
        try:
            yield lines
        finally:
            say(lines.done, lines.total, self._clock() - lines.started)

    def note(self, text: str) -> None:
        """A line."""
        self._print(safe(text, LONGEST_NOTE))

    def failure(self, name: str, error: Exception) -> None:
        """One line, and the traceback with `-v`."""
        for line in _failure_lines(name, error, traceback=self._verbose):
            self._print(line)

    def _print(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


def _failure_lines(name: str, error: Exception, *, traceback: bool) -> list[str]:
    text = error.problem if isinstance(error, RepauditError) else f"{type(error).__name__}: {error}"
    lines = [safe(f"{name} could not finish: {text}", LONGEST_NOTE)]
    if traceback:
        blocks = format_exception(error)
        lines += [safe(line, LONGEST_NOTE) for block in blocks for line in block.splitlines()]
    return lines


def _rate(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
