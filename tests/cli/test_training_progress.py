"""What a person and a log see of a matrix while it runs."""

import io

import pytest
from rich.console import Console

from repaudit.cli._training import tracked
from repaudit.train.events import Advanced, Audited, Began, Failed, Paused, Trained
from repaudit.train.journal import Epoch, Standing

RUNS = ("onehot-seed0", "vs-seed0")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def epoch(run, number, excess=0.25):
    test = Standing(accuracy=0.5, loss=1.0, confidence=0.6, virtual_mass=0.0)
    return Advanced(
        run,
        Epoch(
            run=run, epoch=number, epochs=10, loss=1.0, excess=excess, mixing_share=1.0, rate=0.1, test=test,
            held_out=None, images_per_second=100.0,
        ),
    )  # fmt: skip


@pytest.fixture
def heard():
    """The tracker, what hears events, the clock and the stream of a log."""
    clock, stream = Clock(), io.StringIO()
    with tracked(stream, RUNS, 10, quiet=False, clock=clock) as (tracker, hear):
        yield tracker, hear, clock, stream


def test_a_log_has_a_line_where_something_ends(heard):
    _, hear, _, stream = heard
    for event in (
        Began("onehot-seed0", 0), epoch("onehot-seed0", 1), Trained("onehot-seed0", 0.91, False),
        Audited("onehot-seed0", 0),
        Trained("vs-seed0", 0.93, True), Paused("vs-seed0"),
    ):  # fmt: skip
        hear(event)

    assert stream.getvalue().splitlines() == [
        "onehot-seed0: accuracy 0.910",
        "onehot-seed0: scanned (1 of 2 done)",
        "vs-seed0: accuracy 0.930 (trained earlier)",
        "vs-seed0: stopped; its checkpoint is kept",
    ]


def test_a_long_run_is_heard_of_once_a_minute_with_the_time_that_is_left(heard):
    _, hear, clock, stream = heard
    for number in range(1, 6):
        clock.now += 40
        hear(epoch("onehot-seed0", number))

    # 40 seconds an epoch: 18 epochs are left after the second, 16 after the fourth
    assert stream.getvalue().splitlines() == [
        "onehot-seed0: epoch 2 of 10, excess loss 0.2500, 12 min left for all",
        "onehot-seed0: epoch 4 of 10, excess loss 0.2500, 11 min left for all",
    ]


def test_the_time_left_counts_the_epochs_of_all_runs_that_are_not_done(heard):
    tracker, hear, clock, _ = heard
    assert tracker.left is None
    clock.now = 20
    hear(epoch("onehot-seed0", 1))
    hear(epoch("onehot-seed0", 2))

    assert tracker.left == pytest.approx(18 * 10)
    hear(Failed("vs-seed0", "no disk"))
    assert tracker.left == pytest.approx(8 * 10)
    assert tracker.failures == {"vs-seed0": "no disk"}


def test_the_table_of_a_terminal_has_a_row_for_each_run(heard):
    tracker, hear, _, _ = heard
    hear(epoch("vs-seed0", 3, excess=0.0123))
    console = Console(file=io.StringIO(), width=100)
    console.print(tracker.table())
    text = console.file.getvalue()

    assert [line.split() for line in text.splitlines() if line.startswith("vs-seed0")] == [
        ["vs-seed0", "waits", "3/10", "0.0123", "0.500"]
    ]
    assert "0 of 2 done" in text
