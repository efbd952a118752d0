"""Whether a program normalises its input itself: what people forget of a file that was exported with its preprocessing.

Read from the operations between the input and the first layer. A normalisation that an exporter multiplied into the
first convolution leaves no trace and is not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from repaudit.finding import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.preprocessing import Preprocess

BYTE = 255.0
NOTHING = 0.01
"""A shift, or a scale's distance from 1, that normalises nothing."""
LEAST_OF_BYTES = 5.0
"""Standard deviations above it are of pixels from 0 to 255, those up to 1 of pixels from 0 to 1; none lie between."""


class Operation(StrEnum):
    """What a program may do with its input and one constant."""

    ADD = "add"
    SUBTRACT = "sub"
    MULTIPLY = "mul"
    DIVIDE = "div"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the input."""

    operation: Operation
    constant: np.ndarray
    """One number, or one per channel in any shape."""
    constant_first: bool
    """As in `constant - input`."""


@dataclass(frozen=True, slots=True)
class OwnNormalisation:
    """(input - mean) / std, as a program computes it."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def takes_bytes(self) -> bool:
        """The program wants pixels from 0 to 255."""
        return max(self.std) > LEAST_OF_BYTES


def composed(steps: Iterator[Step]) -> OwnNormalisation | None:
    """What the steps amount to; None where that is no normalisation of pixels."""
    scale, shift = np.ones(1), np.zeros(1)
    for step in steps:
        constant = step.constant.reshape(-1).astype(np.float64)
        if (
            constant.size not in {1, 3, 4}
            or {constant.size, scale.size} in ({3, 4},)
            or not np.isfinite(constant).all()
        ):
            break
        if step.operation is Operation.MULTIPLY:
            scale, shift = scale * constant, shift * constant
        elif step.operation is Operation.DIVIDE and not step.constant_first and constant.all():
            scale, shift = scale / constant, shift / constant
        elif step.operation is Operation.ADD:
            shift = shift + constant
        elif step.operation is Operation.SUBTRACT:
            sign = -1.0 if step.constant_first else 1.0
            scale, shift = sign * scale, sign * (shift - constant)
        else:
            break
    if not (scale > 0).all():
        return None
    mean, std = np.broadcast_arrays(-shift / scale, 1 / scale)
    return _plausible(mean, std)


def _plausible(mean: np.ndarray, std: np.ndarray) -> OwnNormalisation | None:
    reach = BYTE if std.max() > LEAST_OF_BYTES else 1.0
    some = bool((np.abs(mean) > NOTHING).any() or (np.abs(std - 1) > NOTHING).any())
    possible = mean.min() > -NOTHING * reach and mean.max() <= reach and 0.02 * reach < std.min()
    if not some or not possible or std.max() > 1.01 * reach:
        return None
    return OwnNormalisation(tuple(map(float, mean)), tuple(map(float, std)))


def normalised_twice(own: OwnNormalisation | None, preprocess: Preprocess) -> Notice | None:
    """What to tell of a program that normalises and is given normalised images; None where both fit together.

    Each may do a part: a program that divides, of images from which a mean was subtracted, is no mistake.
    """
    if own is None:
        return None
    shifted, scaled = max(map(abs, preprocess.mean)) > NOTHING, max(abs(each - 1) for each in preprocess.std) > NOTHING
    if own.takes_bytes:
        wrong = shifted or max(preprocess.std) > 1.5 / BYTE
        wanted, of = f"{1 / BYTE:.6f}", "pixels from 0 to 255"
    else:
        shifts, scales = max(own.mean) > NOTHING, max(abs(each - 1) for each in own.std) > NOTHING
        wrong = (shifts and shifted) or (scales and scaled)
        wanted, of = "1", "pixels from 0 to 1"
    if not wrong:
        return None
    every = ", ".join([wanted] * preprocess.channels)
    none = ", ".join(["0"] * preprocess.channels)
    return Notice(
        code="normalised-twice",
        message=f"the program itself seems to normalise {of} (mean {_told(own.mean)}, std {_told(own.std)}), and the "
        f"preprocessing of {preprocess.source} does so before it (mean {_told(preprocess.mean)}, std "
        f"{_told(preprocess.std)}). If that is not meant: "
        f"--preprocess FILE.yaml with mean: [{none}] and std: [{every}]",
    )


def _told(figures: tuple[float, ...]) -> str:
    shown = figures[:1] if len(set(figures)) == 1 else figures
    return ", ".join(f"{figure:.4g}" for figure in shown)
