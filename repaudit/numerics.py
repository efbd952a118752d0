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

    By default cuDNN multiplies convolutions in TF32 (10 bits of mantissa) on recent NVIDIA devices, and whoever
    imported torch before may have allowed the same for matrix products. What was set before is restored.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def settings_in_force() -> dict[str, bool | str]:
    """What torch says of itself under `same_kernels`, for the report."""
    with same_kernels():
        return {
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
        }
