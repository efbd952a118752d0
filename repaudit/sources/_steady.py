"""Whether a network answers an image the same way again, and beside other images; without that no number means much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from repaudit.finding import Notice
from repaudit.numerics import row_errors

if TYPE_CHECKING:
    from collections.abc import Callable

DOUBTED = frozenset({"exported", "onnx", "py"})
"""Sources whose networks may do as they like: `eval()` does not reach what an export or a function fixed."""
PROGRAMS = DOUBTED - {"py"}
SAME = 1e-4
"""Share of the spread of an image's logits by which two answers in float32 may differ."""
ROUNDINGS = 16
"""The same in steps of a coarser type, where logits come in one."""


def unsteady(
    ask: Callable[[torch.Tensor], torch.Tensor],
    batch: torch.Tensor,
    others: torch.Tensor,
    outputs: torch.Tensor,
    *,
    program: bool,
) -> Notice | None:
    """Asks about two of the images at other places beside others; only where that moves them, about all once more.

    All calls have as many rows, so that no other kernel rounds otherwise.

    Args:
        ask: (4, classes) logits of four images.
        batch: (4, …).
        others: (4, …), the first two are the neighbours.
        outputs: (4, classes), what it answered to `batch`.
        program: it was exported, so that its mode was fixed then.
    """
    allowed = _allowed(outputs)
    beside = ask(torch.stack([others[0], batch[0], others[1], batch[1]]))
    moved = float(row_errors(beside[1::2], outputs[:2]).max())
    if moved <= allowed:
        return None
    again = float(row_errors(ask(batch), outputs).max())
    hint = "; was it exported in training mode? network.eval() comes before the export" if program else ""
    if again > allowed:
        return Notice(
            code="random-network",
            message=f"the network answers the same images differently: logits move by {_share(again)} of their spread, "
            f"and every number with them{hint}",
        )
    return Notice(
        code="batch-dependent-network",
        message=f"an image's logits depend on its neighbours: beside other images they move by {_share(moved)} of "
        f"their spread, so that numbers depend on the order of the images and on --batch-size{hint}",
    )


def differs(alone: torch.Tensor, outputs: torch.Tensor) -> bool:
    """Whether a call of one image gives (1, classes) that are not the same row of a call of several."""
    return not float(row_errors(alone, outputs).max()) <= _allowed(outputs)


def _share(moved: float) -> str:
    return f"{moved:.2%}" if moved <= 1 else "more than 100%"


def _allowed(outputs: torch.Tensor) -> float:
    coarse = [
        torch.finfo(dtype).eps
        for dtype in (torch.float16, torch.bfloat16)
        if torch.equal(outputs, outputs.to(dtype).to(outputs.dtype))
    ]
    return max([SAME, *(ROUNDINGS * step for step in coarse)])
