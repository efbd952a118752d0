"""Robust self-training: TRADES on labelled and on pseudo-labelled images (Carmon et al. 2019)."""

from __future__ import annotations

from pydantic import Field

from repaudit.train.objectives._contract import Kind, Second
from repaudit.train.objectives._trades import Trades, TradesOptions
from repaudit.train.streams import Purpose


class SelfTrainingOptions(TradesOptions):
    """Half of what is learned from in a step is labelled, half pseudo-labelled, as in the paper."""

    unlabelled: str = Field(min_length=1)
    """Reference of the pseudo-labelled images, such as npz:FILE with `images` and `labels`."""
    ratio: int = Field(default=1, ge=1)
    """Pseudo-labelled images for each labelled one; `batch_size` and epochs count the labelled ones."""


def _second(options: SelfTrainingOptions) -> Second:
    return Second(
        option="unlabelled",
        reference=options.unlabelled,
        ratio=options.ratio,
        labelled=True,
        purpose=Purpose.UNLABELLED,
    )


kind = Kind(
    summary="RST: TRADES on labelled and pseudo-labelled images (Carmon et al. 2019)",
    options=SelfTrainingOptions,
    build=Trades,
    second=_second,
)
