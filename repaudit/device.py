"""Where the network runs, and with how many rows at a time."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from repaudit.case import EvaluationShape
from repaudit.errors import UsageError

ROWS_CPU = 32
ROWS_SMALL = 96
"""On the processor, of a network so small that a call costs more than its rows."""
SMALL = 10_000_000
"""Operations on one image below which a network is that small; a millisecond holds about ten times as many."""
ROWS_ACCELERATOR = 128
CALLS = 4
LEAST_ROWS = 8
"""Below this, kernels differ most from those of larger calls."""


def choose_device(asked: str) -> torch.device:
    """The device of `--device`; `auto` takes CUDA, then Apple's, then the processor.

    Raises:
        UsageError: no such device here.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise UsageError(f"`{asked}` is not a device", remedy="--device auto   (or cpu, cuda, cuda:1, mps)") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"`{asked}` is not here: torch sees {torch.cuda.device_count()} CUDA devices",
            detail="A CPU build of torch, a missing driver and CUDA_VISIBLE_DEVICES are the usual reasons.",
            remedy="--device cpu",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("`mps` is not here: this is no Apple processor", remedy="--device auto")
    if device.type not in {"cpu", "cuda", "mps"}:
        raise UsageError(f"repaudit does not run on `{device.type}`", remedy="--device auto")
    return device


def choose_dtype(asked: str) -> torch.dtype:
    """The precision of `--dtype`.

    Raises:
        UsageError: neither float32 nor bfloat16.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if asked not in known:
        raise UsageError(f"`{asked}` is no precision of the clean pass", remedy="--dtype float32   (or bfloat16)")
    return known[asked]


def choose_shape(batch_size: str, device: torch.device, operations: int | None = None) -> EvaluationShape:
    """The evaluation shape of `--batch-size`: whole calls of a number of rows that is fixed for a network.

    Args:
        batch_size: rows at a time, or `auto`.
        device: where the network runs.
        operations: of the network on one image, where they are known.

    Raises:
        UsageError: neither `auto` nor a positive number.
    """
    small = operations is not None and operations < SMALL
    rows = ROWS_ACCELERATOR if device.type != "cpu" else ROWS_SMALL if small else ROWS_CPU
    if batch_size == "auto":
        return EvaluationShape(rows=rows, calls=CALLS)
    if not batch_size.isdigit() or int(batch_size) < 1:
        raise UsageError(f"`{batch_size}` is no batch size", remedy="--batch-size auto   (or a number such as 128)")
    size = int(batch_size)
    if size < rows:
        return EvaluationShape(rows=max(LEAST_ROWS, size), calls=1)
    return EvaluationShape(rows=rows, calls=size // rows)


def halved(shape: EvaluationShape) -> EvaluationShape | None:
    """A shape whose calls need half the memory; None where none is left.

    Everything measured with the larger shape must be measured again: verdicts are exact within one shape only.
    """
    if shape.rows <= LEAST_ROWS:
        return None
    return EvaluationShape(rows=max(LEAST_ROWS, shape.rows // 2), calls=shape.calls)


def allowed_processors(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many processors this process may use: its affinity, and a container's quota, rounded up.

    torch starts a thread for every processor of the machine, and threads that wait for one another while
    others hold the processors make small networks ten times slower.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = quota.read_text(encoding="ascii").split()
        return min(allowed, math.ceil(int(share) / int(period)))
    except (OSError, ValueError):  # no cgroup, or "max": no quota
        return allowed


def limit_threads(most: int | None = None) -> None:
    """Takes no more threads than there are processors for; OMP_NUM_THREADS, where set, is left alone.

    Args:
        most: fewer still, for networks so small that threads cost more than they give.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        allowed = min(torch.get_num_threads(), allowed_processors())
        torch.set_num_threads(allowed if most is None else min(allowed, most))
