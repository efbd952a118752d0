"""Several processes that take run after run from one queue."""

from __future__ import annotations

import os
import queue
import signal
import time
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import multiprocessing

from repaudit.train.distributed import Ranks
from repaudit.train.events import Failed
from repaudit.train.worker import work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event as Flag

    from repaudit.train.events import Event
    from repaudit.train.examples import Material
    from repaudit.train.runs import Run
    from repaudit.train.worker import Post

    Told: TypeAlias = tuple[int, str, Event | None]

_POLL_S = 0.2
_GRACE_S = 30.0
"""For processes that were asked to stop: longer than most steps; what takes longer goes on from its checkpoint."""


def together(
    runs: Sequence[Run],
    material: Material,
    posts: Sequence[Post],
    threads: int,
    tell: Callable[[Event], None],
    stopped: Callable[[], bool],
) -> None:
    """Works off all runs, as many at a time as there are posts.

    A process that dies costs its run and no other.

    Args:
        runs: all of them.
        material: shared by all processes.
        posts: one for each process.
        threads: of each process.
        tell: hears what happens, in this process.
        stopped: whether all should save and end.
    """
    context = multiprocessing.get_context("spawn")
    tasks, events, flag = context.Queue(), context.Queue(), context.Event()
    for run in runs:
        tasks.put(run)
    workers = []
    for post in posts:
        tasks.put(None)
        worker = context.Process(target=_serve, args=(material, post, threads, tasks, events, flag), daemon=True)
        worker.start()
        workers.append(worker)
    busy: dict[int, str] = {}
    try:
        until = None
        while any(worker.is_alive() for worker in workers) or not events.empty():
            if stopped() and until is None:
                flag.set()
                until = time.monotonic() + _GRACE_S
            if until is not None and time.monotonic() > until:
                break
            _hear(events, busy, tell)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    if stopped():
        return
    for worker in workers:
        lost = busy.get(worker.pid or 0)
        if lost is not None:
            tell(
                Failed(lost, f"its process ended with {worker.exitcode}; the same command goes on from its checkpoint")
            )


def _hear(events: Queue[Told], busy: dict[int, str], tell: Callable[[Event], None]) -> None:
    """Waits a moment for what a process tells, and keeps which run it is at."""
    try:
        process, run, event = events.get(timeout=_POLL_S)
    except queue.Empty:
        return
    if event is None:
        busy.pop(process, None)
    else:
        busy[process] = run
        tell(event)


def _serve(
    material: Material, post: Post, threads: int, tasks: Queue[Run | None], events: Queue[Told], flag: Flag
) -> None:
    """What such a process does; the parent's death stops it as the parent's word does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent tells when to stop
    torch.set_num_threads(threads)
    parent, mine = os.getppid(), os.getpid()

    def stopped() -> bool:
        return flag.is_set() or os.getppid() != parent

    here = material.on(post.device)
    while not stopped():
        run = tasks.get()
        if run is None:
            return

        def tell(event: Event, name: str = run.name) -> None:
            events.put((mine, name, event))

        work(run, here, post, Ranks(), tell=tell, stopped=stopped)
        events.put((mine, run.name, None))
