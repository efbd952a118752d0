"""All runs of a recipe: one process a device (of a processor: one a core), each run in a folder of its own."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import torch

from repaudit.errors import Interrupted, InvalidOutput
from repaudit.train.distributed import Ranks, is_first, joined
from repaudit.train.examples import open_material
from repaudit.train.folder import claim, refuse_foreign_tables
from repaudit.train.method import Smoothing
from repaudit.train.network import build
from repaudit.train.pool import together
from repaudit.train.readiness import refuse_unready
from repaudit.train.teacher import load_teacher
from repaudit.train.worker import Post, is_finished, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from repaudit.progress import Progress
    from repaudit.train.events import Event
    from repaudit.train.examples import Material
    from repaudit.train.recipe import Recipe
    from repaudit.train.runs import Run

KEPT_BACK = "test.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one call of `repaudit train` does."""

    recipe_name: str
    recipe: Recipe
    runs: tuple[Run, ...]
    folder: Path
    devices: tuple[torch.device, ...]
    """One for each process."""
    threads: int
    """Of each process; 0 leaves torch's own number."""
    dtype: torch.dtype
    scanned: bool
    argv: tuple[str, ...] = ()


def carry_out(plan: Plan, progress: Progress, tell: Callable[[Event], None]) -> None:
    """Trains and audits every run that is not finished yet.

    Args:
        plan: what to do.
        progress: hears remarks on the data.
        tell: hears what happens, from this process.

    Raises:
        InvalidData: the images cannot be used.
        InvalidRecipe: a folder belongs to another recipe.
        Interrupted: somebody stopped it; the same command goes on.
    """
    material = open_material(plan.recipe, torch.device("cpu"), progress)
    _refuse_unfit(plan, material)
    scan_data = material.test_reference
    if is_first():
        refuse_foreign_tables(plan.folder)
        scan_data = _scan_data(material, plan.folder)
        for run in plan.runs:
            claim(plan.folder / run.name, run, material.fingerprints)
    post = Post(
        folder=plan.folder,
        device=plan.devices[0],
        dtype=plan.dtype,
        recipe_name=plan.recipe_name,
        scan_data=scan_data,
        scanned=plan.scanned,
        argv=plan.argv,
    )
    with _stopping() as stop:
        left = tuple(run for run in plan.runs if not is_finished(run, post))
        for run in plan.runs:
            if run not in left and is_first():
                work(run, material, post, Ranks(), tell=tell, stopped=stop.asked)
        if len(plan.devices) == 1:
            _alone(left, plan.threads, material, post, tell, stop)
        elif left:
            posts = tuple(replace(post, device=device) for device in plan.devices[: len(left)])
            together(left, material, posts, plan.threads, tell, stop.asked)
        if stop.signal_number is not None:
            raise Interrupted(stop.signal_number)


def _refuse_unfit(plan: Plan, material: Material) -> None:
    """What every run would stumble over is told once, and before anything is written.

    Raises:
        InvalidModel, InvalidRecipe: as of building a network, or of the objective and what it needs.
    """
    refuse_unready(plan.runs, material, lambda reference: load_teacher(reference, torch.device("cpu")))
    virtual = [run for run in plan.runs if run.method.smoothing is Smoothing.VS]
    build((virtual or list(plan.runs))[0], material, material.classes if virtual else 0)


@dataclass(slots=True)
class _Stop:
    """Whether a signal came, and which."""

    signal_number: int | None = None

    def asked(self) -> bool:
        return self.signal_number is not None


@contextmanager
def _stopping() -> Iterator[_Stop]:
    """Signals are remembered rather than raised: a run is stopped between two steps."""
    stop = _Stop()

    def remember(number: int, _: FrameType | None) -> None:
        stop.signal_number = number

    before = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _alone(
    runs: Sequence[Run],
    threads: int,
    material: Material,
    post: Post,
    tell: Callable[[Event], None],
    stop: _Stop,
) -> None:
    """In this process, or in those that torchrun started beside it."""
    if threads:
        torch.set_num_threads(threads)
    with joined(post.device) as ranks:
        here = material.on(post.device)
        for run in runs:
            if stop.asked():
                return
            work(run, here, post, ranks, tell=tell if ranks.first else _nobody, stopped=stop.asked)


def _nobody(_: Event) -> None:
    """Hears nothing."""


def _scan_data(material: Material, folder: Path) -> str:
    """The reference that each run is audited on; images kept back from training are written beside the runs."""
    if material.test_rows is None:
        return material.test_reference
    path = folder / KEPT_BACK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        images = material.test.stored.permute(0, 2, 3, 1).numpy()
        wanted = {"images": images, "labels": material.test.labels.numpy(), "ids": material.test_rows.astype(str)}
        if path.exists() and not _holds(path, wanted):
            raise InvalidOutput(f"{path} holds other images and would be overwritten", remedy="-o DIR elsewhere")
        np.savez(path, images=wanted["images"], labels=wanted["labels"], ids=wanted["ids"])
    except OSError as error:
        raise InvalidOutput(f"{path} cannot be written: {error}", remedy="-o DIR elsewhere") from None
    return f"npz:{path}"


def dtype_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The precision of the passes; `auto` takes bfloat16 where the hardware computes in it."""
    if recipe.dtype != "auto":
        return torch.float32 if recipe.dtype == "float32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def _holds(path: Path, wanted: Mapping[str, np.ndarray]) -> bool:
    """Whether a file is what would be written there."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return set(kept.files) == set(wanted) and all(np.array_equal(kept[name], wanted[name]) for name in wanted)
    except (ValueError, EOFError, BadZipFile):
        return False


def devices_of(device: torch.device, jobs: str, runs: Sequence[Run], progress: Progress) -> tuple[torch.device, ...]:
    """One device for each process.

    Args:
        device: as chosen for the first; of several accelerators all are used.
        jobs: `auto`, or a number of processes.
        runs: no more processes than these.
        progress: hears where there are more processes than cores.
    """
    cores = os.cpu_count() or 1
    if device.type == "cuda" and device.index is None:
        places = tuple(torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    else:
        places = (device,)
    wanted = (len(places) if device.type != "cpu" else cores) if jobs == "auto" else int(jobs)
    if device.type == "cpu" and wanted > cores:
        progress.note(f"{wanted} processes share {cores} cores: each is slower, and nothing is won")
    count = max(1, min(wanted, len(runs)))
    return tuple(places[index % len(places)] for index in range(count))
