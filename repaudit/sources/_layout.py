"""Whether a program takes channels first or last: from its graph and its shape, else from a person, never by guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel
from repaudit.preprocessing import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.preprocessing import Preprocess

COLOURS = (1, 3, 4)
"""Channels that tell an axis of colours from one of pixels."""


def settled(
    shape: Sequence[int | None], first_layer: Layout | None, known: Preprocess | None, said: Layout | None, name: str
) -> Layout:
    """The order of the axes of a program's input.

    Args:
        shape: (batch, …) of four axes; None where one is open.
        first_layer: what the first layer that looks at planes takes, where one is seen.
        known: size and channels by the preprocessing.
        said: the layout that a person or the file's metadata names.
        name: how errors call the file.

    Raises:
        InvalidModel: no axis is one of colours, `said` contradicts the program, or nothing tells.
    """
    possible = [layout for layout in Layout if shape[_colours(layout)] in (None, *COLOURS)]
    if first_layer is not None:
        possible = [layout for layout in possible if layout is first_layer]
    if not possible:
        raise InvalidModel(
            f"the input of `{name}` has shape {told(shape)}, in which no axis is one of colours",
            remedy="a network that takes images of 1, 3 or 4 channels",
        )
    if len(possible) == 1 or said is not None:
        return _agreed(possible, said, shape, name)
    evident = [layout for layout in possible if shape[_colours(layout)] is not None]
    fitting = [layout for layout in possible if known is not None and _fits(layout, shape, known)]
    for narrower in (evident, fitting):
        if len(narrower) == 1:
            return narrower[0]
    if known is None:
        return possible[0]  # without preprocessing nothing is audited, and that is told first
    raise InvalidModel(
        f"`{name}` takes images of shape {told(shape)}: channels may come first or last, and nothing in it tells",
        detail="the wrong order gives wrong numbers without a word, so it is never guessed",
        remedy="--preprocess FILE.yaml with `layout: nchw` (channels first) or `layout: nhwc` beside mean and std",
    )


def sides(shape: Sequence[int | None], layout: Layout) -> tuple[int, int] | None:
    """(height, width) where both are fixed."""
    height, width = shape[2:] if layout is Layout.NCHW else shape[1:3]
    return None if height is None or width is None else (height, width)


def told(shape: Sequence[int | None]) -> str:
    """Such as (?, 3, 8, 8)."""
    return "(" + ", ".join("?" if side is None else str(side) for side in shape) + ")"


def _agreed(possible: Sequence[Layout], said: Layout | None, shape: Sequence[int | None], name: str) -> Layout:
    if said is None or said in possible:
        return said or possible[0]
    raise InvalidModel(
        f"the preprocessing says `layout: {said}`, but `{name}` takes images as {possible[0]}",
        detail=f"its input has shape {told(shape)}, and its first layers take {possible[0]}",
        remedy=f"`layout: {possible[0]}` in the preprocessing, or no layout",
    )


def _colours(layout: Layout) -> int:
    return 1 if layout is Layout.NCHW else 3


def _fits(layout: Layout, shape: Sequence[int | None], known: Preprocess) -> bool:
    height, width = known.size or (None, None)
    order = (known.channels, height, width) if layout is Layout.NCHW else (height, width, known.channels)
    return all(own is None or wanted is None or own == wanted for own, wanted in zip(shape[1:], order, strict=True))
