"""A second set of images beside the training set: so many of them go with every batch, in an order of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from repaudit.train.augment import Border, augmented
from repaudit.train.objectives import Extra, load, options_of
from repaudit.train.streams import numpy_generator

if TYPE_CHECKING:
    from repaudit.train.distributed import Ranks
    from repaudit.train.examples import Examples, Material
    from repaudit.train.objectives import Second
    from repaudit.train.runs import Run


class SecondBatches:
    """What goes with each step: a function of the seed and the step alone."""

    def __init__(self, run: Run, second: Second, examples: Examples, first_row: int, ranks: Ranks) -> None:
        self._run, self._second, self._examples, self._ranks = run, second, examples, ranks
        self._first_row = first_row
        self._rows = second.ratio * run.recipe.batch_size
        self._steps = len(examples) // self._rows
        """Of one lap; what does not fill a batch waits for the next order."""

    def at(self, index: int) -> Extra:
        """This process's part of what goes with a step, which is counted since the beginning of the run."""
        lap, step = divmod(index, self._steps)
        order = numpy_generator(self._run.seed, self._second.purpose, lap).permutation(len(self._examples))
        whole = torch.from_numpy(order[step * self._rows : (step + 1) * self._rows])
        own = self._ranks.part(whole).to(self._examples.labels.device)
        section, rows = self._run.recipe.augmentation, own + self._first_row
        images = augmented(
            self._examples.stored[own],
            rows,
            seed=self._run.seed,
            epoch=lap,
            pad=section.pad,
            border=Border(section.border),
            flip=section.flip,
        )
        return Extra(
            images=images.contiguous(memory_format=torch.channels_last),
            labels=self._examples.labels[own],
            rows=rows,
            lap=lap,
        )


def second_batches(run: Run, material: Material, ranks: Ranks) -> SecondBatches | None:
    """Those of a run; None where its objective learns from the training set alone."""
    section = run.recipe.objective
    second = load(section.name).second
    if second is None or material.extra is None:
        return None
    return SecondBatches(run, second(options_of(section)), material.extra, len(material.train), ranks)
