"""TRADES: what is right on clean images, and stays the same nearby (Zhang et al. 2019)."""

from __future__ import annotations

from repaudit.train.objectives._contract import Kind
from repaudit.train.objectives._trades import Trades, TradesOptions

kind = Kind(
    summary="TRADES: cross-entropy + β · KL(p(x) ‖ p(x')) (Zhang et al. 2019)",
    options=TradesOptions,
    build=Trades,
)
