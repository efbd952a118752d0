"""Random numbers of a training run: each belongs to what it is for.

A stream is a function of (seed, purpose, epoch, step or row) and of nothing that went before. Methods that draw more
than others (a mixing share, a virtual row) therefore leave initial weights, order and crops of all others alone, a
resumed run draws what it would have drawn, and one process draws what many do.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.attacks.noise import step_keys
from repaudit.randomness import stream_key

if TYPE_CHECKING:
    from collections.abc import Iterator


class Purpose(IntEnum):
    """What numbers are drawn for; the value is part of the stream and never changes."""

    INITIAL_WEIGHTS = 1
    VIRTUAL_WEIGHTS = 2
    ORDER = 3
    CROP = 4
    FLIP = 5
    MIXING = 6
    ATTACK_START = 7
    DROPOUT = 8
    HELD_OUT = 9
    UNLABELLED = 10
    OUTLIERS = 11
    EXTRACTOR = 12


def key(seed: int, purpose: Purpose, *parts: int) -> int:
    """The stream of one seed, one purpose and whatever numbers tell its uses apart, in 0..2⁶⁴ − 1."""
    return stream_key(seed, purpose, *parts)


def row_keys(seed: int, purpose: Purpose, epoch: int, rows: torch.Tensor) -> torch.Tensor:
    """A stream for each image, whichever batch or process it is in.

    Args:
        seed: of the run.
        purpose: of the numbers.
        epoch: counted from 0.
        rows: (b,) int64, numbers of the images in the training set.

    Returns:
        (b,) int64 keys as `repaudit.attacks.noise` takes them, on the device of `rows`.
    """
    base = key(seed, purpose, epoch)
    signed = base - (1 << 64) if base >> 63 else base
    return step_keys(torch.tensor([signed], dtype=torch.int64, device=rows.device), rows)


def numpy_generator(seed: int, purpose: Purpose, *parts: int) -> np.random.Generator:
    """For what numpy draws."""
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *parts)))


def torch_generator(seed: int, purpose: Purpose, *parts: int) -> torch.Generator:
    """For what torch draws with a generator of its own, on the processor."""
    return torch.Generator().manual_seed(key(seed, purpose, *parts))


@contextmanager
def drawing(seed: int, purpose: Purpose, *parts: int) -> Iterator[None]:
    """Within it torch's global generators, which layers use, are this stream; afterwards they are as before."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        torch.manual_seed(key(seed, purpose, *parts))
        yield


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """(count,) int64: the order of the images in one epoch, a permutation."""
    return numpy_generator(seed, Purpose.ORDER, epoch).permutation(count)
