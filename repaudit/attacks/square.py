"""Square (Andriushchenko et al. 2020, arXiv 1912.00049): random search by square windows, without gradients."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from repaudit.attacks import Method, Options
from repaudit.attacks._square_euclidean import EuclideanSquare
from repaudit.attacks._square_linf import LinfSquare
from repaudit.attacks._square_search import SquareSearch
from repaudit.attacks.threat import Norm, Threat


class SquareOptions(Options):
    """What a profile may say of Square."""

    queries: int = Field(default=5000, ge=1)
    """Changes that are tried after the start."""
    p_init: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the pixels that the first windows cover."""
    restarts: int = Field(default=1, ge=1)
    """Searches an image, each from its own start."""


def build(threat: Threat, options: SquareOptions) -> SquareSearch:
    """The search of the threat's norm."""
    kind = LinfSquare if threat.norm is Norm.LINF else EuclideanSquare
    return kind(threat, queries=options.queries, p_init=options.p_init, restarts=options.restarts)


attack = Method(
    summary="Square: random search by square windows, Linf or L2; black-box, without gradients.",
    options=SquareOptions,
    build=build,
    presets={"square": {"epsilon": "8/255"}},
)
