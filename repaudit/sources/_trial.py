"""Images on which a program is tried before anything is believed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidModel
from repaudit.preprocessing import Layout
from repaudit.sources._assemble import SIZES_TRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repaudit.preprocessing import Preprocess

ROWS = 2


def images_taken(
    ask: Callable[[torch.Tensor], torch.Tensor],
    shape: Sequence[int | None],
    layout: Layout,
    known: Preprocess | None,
    rows: int = ROWS,
    device: torch.device | None = None,
) -> torch.Tensor | None:
    """Images that a program answers with a row of numbers each; None where there are none of any usual size.

    Args:
        ask: the program, on normalised images in its own order of axes.
        shape: (batch, …) of its input; None where an axis is open.
        layout: that order.
        known: size and channels by the preprocessing.
        rows: how many.
        device: where they are made.
    """
    colours = 3 if known is None else known.channels
    sizes = [known.size] if known is not None and known.size else [(side, side) for side in SIZES_TRIED]
    for height, width in sizes:
        wanted = (colours, height, width) if layout is Layout.NCHW else (height, width, colours)
        axes = [own or other for own, other in zip(shape[1:], wanted, strict=True)]
        images = torch.rand(rows, *axes, generator=torch.Generator().manual_seed(1)).to(device)
        try:
            with torch.no_grad():
                answered = ask(images)
        except InvalidModel:
            raise
        except Exception:  # a program's own way to say that the size is another
            continue
        return images if answered.dim() == 2 and len(answered) == rows else None
    return None
