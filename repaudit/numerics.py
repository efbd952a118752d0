"""The arithmetic that every number here rests on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def same_kernels() -> Iterator[None]:
    """Full float32, and no kernel chosen by a race: either would move logits between runs.

    By default cuDNN multiplies convolutions in TF32 (10 bits of mantissa) on recent NVIDIA devices.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
