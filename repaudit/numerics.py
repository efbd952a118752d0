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


def row_errors(answers: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """By how much answers differ from logits, as shares of each row's own spread.

    A row with large logits must not hide what another one is wrong by. The last bits of a row's largest logit are not
    counted: they are all that a row without any spread may differ by.

    Args:
        answers: (b, c) of any float type.
        logits: (b, c), float32 or computed in it.

    Returns:
        (b,) float64, max |answers − logits| over the classes divided by max − min of the logits.
    """
    answers, logits = answers.double(), logits.double()
    rounding = 2 * torch.finfo(torch.float32).eps * logits.abs().amax(dim=1)
    spread = (logits.amax(dim=1) - logits.amin(dim=1)).clamp_min(torch.finfo(torch.float32).tiny)
    return ((answers - logits).abs().amax(dim=1) - rounding).clamp_min(0) / spread


def settings_in_force() -> dict[str, bool | str]:
    """What torch says of itself under `same_kernels`, for the report."""
    with same_kernels():
        return {
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
        }
