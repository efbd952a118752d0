"""The batch of every step: a function of (seed, epoch, step), of which each process makes its own part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from repaudit.train.augment import Border, augmented
from repaudit.train.method import Mixing
from repaudit.train.mixing import draw_cutmix, draw_mixup
from repaudit.train.objectives import Step
from repaudit.train.second import second_batches
from repaudit.train.streams import Purpose, numpy_generator, order
from repaudit.train.targets import one_hot

if TYPE_CHECKING:
    import numpy as np

    from repaudit.train.distributed import Ranks
    from repaudit.train.examples import Material
    from repaudit.train.mixing import Mix
    from repaudit.train.runs import Run
    from repaudit.train.targets import Labelling


class Batches:
    """Order, crops, mirror images, shares and partners of one run."""

    def __init__(self, run: Run, material: Material, labelling: Labelling, ranks: Ranks) -> None:
        self._run, self._train, self._labelling, self._ranks = run, material.train, labelling, ranks
        self._classes = material.classes
        self._rows = run.recipe.batch_size
        self.steps = len(material.train) // self._rows
        """In an epoch; what does not fill a batch waits for the next order."""
        self._order: tuple[int, np.ndarray] | None = None
        self._second = second_batches(run, material, ranks)

    def at(self, epoch: int, step: int) -> tuple[Step, float]:
        """The batch of a step, and the share of an image that was left its own."""
        whole = torch.from_numpy(self._ordered(epoch)[step * self._rows : (step + 1) * self._rows])
        rows = self._ranks.part(whole).to(self._train.labels.device)
        images, labels = self._augmented(rows, epoch), self._train.labels[rows]
        targets = one_hot(labels, self._classes)
        mix = self._mix(epoch, step)
        if mix is not None:
            partners = self._ranks.part(whole[torch.from_numpy(mix.partner)]).to(rows.device)
            targets = mix.targets(targets, one_hot(self._train.labels[partners], self._classes))
            images = mix.images(images, self._partners(images, mix, partners, epoch))
        index = epoch * self.steps + step
        made = Step(
            images=images.contiguous(memory_format=torch.channels_last),
            targets=self._labelling.soft(targets),
            labels=labels,
            rows=rows,
            seed=self._run.seed,
            epoch=epoch,
            index=index,
            extra=None if self._second is None else self._second.at(index),
        )
        return made, 1.0 if mix is None else mix.share

    def _partners(self, images: torch.Tensor, mix: Mix, rows: torch.Tensor, epoch: int) -> torch.Tensor:
        """Those of this process's images, cropped and mirrored as they are wherever they are used themselves."""
        if self._ranks.world == 1:
            return images[torch.from_numpy(mix.partner).to(images.device)]
        return self._augmented(rows, epoch)

    def _augmented(self, rows: torch.Tensor, epoch: int) -> torch.Tensor:
        section = self._run.recipe.augmentation
        return augmented(
            self._train.stored[rows],
            rows,
            seed=self._run.seed,
            epoch=epoch,
            pad=section.pad,
            border=Border(section.border),
            flip=section.flip,
        )

    def _mix(self, epoch: int, step: int) -> Mix | None:
        recipe = self._run.recipe
        generator = numpy_generator(self._run.seed, Purpose.MIXING, epoch, step)
        match self._run.method.mixing:
            case Mixing.NONE:
                return None
            case Mixing.MIXUP:
                return draw_mixup(recipe.mixup.a, self._rows, generator)
            case Mixing.CUTMIX:
                height, width = self._train.stored.shape[2:]
                return draw_cutmix(recipe.cutmix.a, self._rows, (height, width), generator)

    def _ordered(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, order(self._run.seed, epoch, len(self._train))
        return self._order[1]
