"""A log gets lines, a terminal gets bars, quiet gets nothing, and stdout is never touched."""

import io
import sys

import pytest

from repaudit.errors import UnfinishedError
from repaudit.render.progress import progress_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _known_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)


def worked(stream, *, quiet: bool = False, verbose: bool = False, seconds: float = 1.0, clock=None) -> str:
    clock = clock or Clock()
    with progress_for(stream, quiet=quiet, verbose=verbose, clock=clock) as progress:
        progress.note("net -> timm:net")
        with progress.stage("clean pass", 1000, "images") as stage:
            for _ in range(10):
                clock.now += seconds
                stage.advance(100)
    return stream.getvalue()


def test_a_log_gets_one_line_a_stage_with_its_rate():
    assert worked(io.StringIO()) == "net -> timm:net\nclean pass: 1,000 of 1,000 images in 10.0 s, 100 images/s\n"


def test_a_long_stage_shows_once_a_minute_that_it_is_alive_and_how_long_it_will_be():
    lines = worked(io.StringIO(), seconds=30.0).splitlines()

    assert lines[1] == "clean pass: 200 of 1,000 images in 1:00, 3.3 images/s, 4:00 left"
    assert len(lines) == 1 + 5 + 1
    assert lines[-1] == "clean pass: 1,000 of 1,000 images in 5:00, 3.3 images/s"


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_work_that_turns_out_not_to_be_needed_counts_neither_as_done_nor_as_left(make):
    stream, clock = make(), Clock()

    with (
        progress_for(stream, quiet=False, verbose=False, clock=clock) as progress,
        progress.stage("attack", 1000, "queries") as stage,
    ):
        stage.spare(800)
        clock.now += 100
        stage.advance(100)
        stage.spare(50)
        clock.now += 100
        stage.advance(50)

    if make is Terminal:
        assert "150/150 queries" in stream.getvalue()
    else:
        assert stream.getvalue().splitlines() == [
            "attack: 100 of 200 queries in 1:40, 1 queries/s, 1:40 left",
            "attack: 150 of 150 queries in 3:20, 0.75 queries/s",
            "attack: 150 of 150 queries in 3:20, 0.75 queries/s",
        ]


def test_hours_are_written_as_hours():
    assert "in 2:46:40" in worked(io.StringIO(), seconds=1000.0).splitlines()[-1]


def test_a_stage_that_was_stopped_says_how_far_it_came():
    stream, clock = io.StringIO(), Clock()

    def stopped() -> None:
        with (
            progress_for(stream, quiet=False, verbose=False, clock=clock) as progress,
            progress.stage("clean pass", 1000, "images") as stage,
        ):
            clock.now += 2
            stage.advance(300)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()

    assert stream.getvalue().startswith("clean pass: 300 of 1,000 images in 2.0 s")


def test_a_log_carries_no_control_characters():
    assert not any(ord(character) < 32 and character != "\n" for character in worked(io.StringIO()))


def test_verbose_announces_a_stage():
    assert "clean pass: 1,000 images\n" in worked(io.StringIO(), verbose=True)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_says_nothing(stream):
    assert worked(stream, quiet=True) == ""


def test_a_terminal_gets_a_bar_with_count_and_note(capsys):
    text = worked(Terminal())

    assert "1,000/1,000 images" in text
    assert "net -> timm:net" in text
    assert "\x1b[" in text
    assert capsys.readouterr().out == ""


def test_printing_to_stdout_under_a_bar_stays_on_stdout(capsys):
    stream = Terminal()
    with progress_for(stream, quiet=False, verbose=False) as progress, progress.stage("x", 1, "images"):
        sys.stdout.write("{}\n")

    assert capsys.readouterr().out == "{}\n"
    assert "{}" not in stream.getvalue()


def test_a_dumb_terminal_is_treated_as_a_log(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")

    assert "\x1b" not in worked(Terminal())


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_a_failure_is_one_line_and_its_traceback_only_with_verbose(make):
    def told(verbose: bool) -> str:
        stream = make()
        with progress_for(stream, quiet=False, verbose=verbose) as progress:
            try:
                raise ValueError("bad [bold]\x1b[31m")
            except ValueError as error:
                progress.failure("cones", error)
        return stream.getvalue()

    assert "cones could not finish: ValueError: bad [bold]\\x1b[31m" in told(False)
    assert "Traceback" not in told(False)
    assert "Traceback" in told(True)
    assert "raise ValueError" in told(True)


def test_a_failure_of_our_own_shows_its_problem():
    stream = io.StringIO()
    with progress_for(stream, quiet=False, verbose=False) as progress:
        progress.failure("cones", UnfinishedError("no memory left"))

    assert stream.getvalue() == "cones could not finish: no memory left\n"


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_names_cannot_act_in_progress(make):
    stream = make()
    with progress_for(stream, quiet=False, verbose=False) as progress:
        progress.note("evil \x07 [red]x[/red]")
        with progress.stage("stage \x07 [red]y[/red]", 1, "images\r") as stage:
            stage.advance(1)

    assert "\x07" not in stream.getvalue()
    assert "evil \\x07 [red]x[/red]" in stream.getvalue()
    assert "stage \\x07 [red]y[/red]" in stream.getvalue()
