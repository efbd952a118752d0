"""What a run minimises, and that everything it needs for it is there before anything is trained."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from repaudit.train.distributed import Ranks
from repaudit.train.method import Smoothing
from repaudit.train.objectives import Surroundings, load, options_of
from repaudit.train.targets import Labelling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

    from repaudit.train.examples import Material
    from repaudit.train.objectives import Objective
    from repaudit.train.runs import Run

_SIDE = 32
"""Of images whose size nothing tells."""


def labelling_of(run: Run, classes: int) -> Labelling:
    """How the labels of a run become its targets."""
    smoothing = run.method.smoothing
    return Labelling(
        classes=classes,
        smoothing=smoothing,
        alpha=run.mass,
        virtual=(run.nodes or classes) if smoothing is Smoothing.VS else 0,
        rejects=load(run.recipe.objective.name).rejects(classes),
    )


def objective_of(
    run: Run, material: Material, load_network: Callable[[str], nn.Module], ranks: Ranks, device: torch.device
) -> Objective:
    """What a run minimises.

    Args:
        run: what is trained.
        material: tells classes and the size of images.
        load_network: a frozen network of pixels by model reference.
        ranks: of this process.
        device: of the run.

    Raises:
        InvalidRecipe: an option that it cannot take, or something that it needs is not there.
    """
    section = run.recipe.objective
    size = material.preprocess.size or (_SIDE, _SIDE)
    surroundings = Surroundings(
        labelling=labelling_of(run, material.classes),
        load=load_network,
        ranks=ranks,
        blank=torch.zeros(1, material.channels, *size, device=device),
    )
    return load(section.name).build(options_of(section), surroundings)


def refuse_unready(runs: Iterable[Run], material: Material, load_network: Callable[[str], nn.Module]) -> None:
    """Makes the objective of every method once, on the processor, and lets it go.

    Raises:
        InvalidRecipe: as `objective_of`.
    """
    once = cache(load_network)
    for run in {run.method: run for run in runs}.values():
        objective_of(run, material, once, Ranks(), torch.device("cpu"))
