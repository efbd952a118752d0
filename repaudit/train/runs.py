"""One run of a matrix: a recipe, one way to make labels soft, one seed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from repaudit.errors import InvalidRecipe
from repaudit.train.method import Method, Mixing, Smoothing, parse_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from repaudit.train.recipe import Recipe

_METHODS = ("ls", "mixup", "cutmix", "vs")
_NOT_OF_ONE_RUN = ("about", "source", "reg", "seeds", "alphas", "virtuals", "snapshots", "scan", *_METHODS)


@dataclass(frozen=True, slots=True)
class Run:
    """What is trained in one folder."""

    recipe: Recipe
    method: Method
    seed: int
    alpha: float | None = None
    """Mass of label smoothing or virtual smoothing, where it is not the recipe's own."""
    virtual: int | None = None
    """V, where it is not the recipe's own."""

    @property
    def name(self) -> str:
        """Of its folder, such as `vs-seed0`, or `vs-alpha0.3-seed0` or `vs-v5-seed0` in a grid."""
        mass = "" if self.alpha is None else f"-alpha{self.alpha:g}"
        nodes = "" if self.virtual is None else f"-v{self.virtual}"
        return f"{self.method.name}{mass}{nodes}-seed{self.seed}"

    @property
    def mass(self) -> float:
        """α; 0 without smoothing."""
        own = {Smoothing.NONE: 0.0, Smoothing.LS: self.recipe.ls.alpha, Smoothing.VS: self.recipe.vs.alpha}
        smooth = self.method.smoothing is not Smoothing.NONE
        return self.alpha if smooth and self.alpha is not None else own[self.method.smoothing]

    @property
    def nodes(self) -> int | None:
        """V of virtual smoothing; None for as many as there are real classes."""
        return self.recipe.vs.virtual if self.virtual is None else self.virtual

    @property
    def decisive(self) -> dict[str, JsonValue]:
        """All that decides its weights, as JSON."""
        resolved = self.recipe.resolved
        settings = {key: value for key, value in resolved.items() if key not in _NOT_OF_ONE_RUN}
        if self.method.mixing is not Mixing.NONE:
            settings[self.method.mixing] = resolved[self.method.mixing]
        if self.method.smoothing is Smoothing.VS:
            settings["virtual"] = self.nodes
        return settings | {"method": self.method.name, "alpha": self.mass, "seed": self.seed}

    @property
    def identity(self) -> str:
        """sha256 over `decisive`."""
        return hashlib.sha256(json.dumps(self.decisive, sort_keys=True, allow_nan=False).encode()).hexdigest()


def runs_of(recipe: Recipe) -> tuple[Run, ...]:
    """The matrix: every method with every seed, and every value of a grid where the method has such a thing."""
    runs = []
    for name in recipe.reg:
        method = parse_method(name)
        masses: tuple[float | None, ...] = recipe.alphas if method.smoothing is not Smoothing.NONE else ()
        counts: tuple[int | None, ...] = recipe.virtuals if method.smoothing is Smoothing.VS else ()
        for alpha, virtual in product(masses or (None,), counts or (None,)):
            runs += [Run(recipe, method, seed, alpha, virtual) for seed in range(recipe.seeds)]
    return tuple(runs)


def shard(runs: Sequence[Run], text: str | None) -> tuple[Run, ...]:
    """The share of one machine of several: every n-th run.

    Args:
        runs: of the whole matrix.
        text: `i/n`, i from 1 to n; None takes all.

    Raises:
        InvalidRecipe: it is no such thing.
    """
    if text is None:
        return tuple(runs)
    part, _, whole = text.partition("/")
    if not (part.isdecimal() and whole.isdecimal() and 1 <= int(part) <= int(whole)):
        raise InvalidRecipe(f"--shard {text}: not i/n with i from 1 to n", remedy="--shard 1/4")
    return tuple(runs[int(part) - 1 :: int(whole)])
