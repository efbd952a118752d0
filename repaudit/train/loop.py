"""One run from its first step to its last; stopped at any moment, it goes on as if it had not been."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.errors import InvalidRecipe, UnfinishedError
from repaudit.train import checkpoint, journal
from repaudit.train.batches import Batches
from repaudit.train.distributed import exchanging
from repaudit.train.evaluation import evaluated
from repaudit.train.initialise import initialise
from repaudit.train.network import build
from repaudit.train.readiness import labelling_of, objective_of
from repaudit.train.schedule import Schedule, Shape
from repaudit.train.snapshots import Snapshots
from repaudit.train.streams import Purpose, drawing
from repaudit.train.trainee import Trainee

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from repaudit.train.distributed import Ranks
    from repaudit.train.examples import Examples, Material
    from repaudit.train.journal import Epoch, Standing
    from repaudit.train.network import Built
    from repaudit.train.objectives import Objective
    from repaudit.train.recipe import OptimizerSection
    from repaudit.train.runs import Run

SAVED_EVERY = 30.0
"""Seconds between checkpoints."""
JUDGED_AFTER = 5
"""Times the number of test images that are trained on between two evaluations, so that these cost little."""
AGREED_EVERY = 10
"""Steps between questions to the other processes, where there are any, whether to save or to stop."""
CHECKED_EVERY = 50
"""Steps between looks at the losses on an accelerator, where each look waits for the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Where a run trains and who listens."""

    folder: Path
    device: torch.device
    dtype: torch.dtype
    ranks: Ranks
    told: Callable[[Epoch], None]
    """Called at the end of every epoch."""
    stopped: Callable[[], bool]
    """Asked before every step; True saves and ends."""
    load: Callable[[str], nn.Module]
    """A frozen network of pixels by model reference: a teacher."""


class Stopped(Exception):
    """Somebody asked the run to stop; its checkpoint holds everything up to here."""


def train(run: Run, material: Material, conditions: Conditions) -> Built:
    """Trains until the last epoch, from the beginning or from the checkpoint of the folder.

    Returns:
        The network after its last step.

    Raises:
        InvalidRecipe: the checkpoint is of another run, or the batch cannot be shared by the processes.
        UnfinishedError: the loss is no number, or the disk is full; the last good checkpoint is kept.
        Stopped: `conditions.stopped` said so.
    """
    return _Loop(run, material, conditions).finish()


class _Loop:
    """Everything that lives as long as one run."""

    def __init__(self, run: Run, material: Material, conditions: Conditions) -> None:
        recipe, device = run.recipe, conditions.device
        if recipe.batch_size % conditions.ranks.world:
            raise InvalidRecipe(
                f"a batch of {recipe.batch_size} cannot be shared by {conditions.ranks.world} processes",
                remedy=f"--set batch_size={recipe.batch_size - recipe.batch_size % conditions.ranks.world}",
            )
        self._run, self._material, self._with = run, material, conditions
        labelling = labelling_of(run, material.classes)
        self._built = build(run, material, labelling.extra)
        network = self._built.network.to(device).to(memory_format=torch.channels_last).train()
        wrapped = exchanging(network) if conditions.ranks.world > 1 else None
        self._trainee = Trainee(network, labelling, wrapped=wrapped, dtype=conditions.dtype)
        self._optimizer = _optimizer(recipe.optimizer, network)
        self._schedule = _schedule(run)
        self._objective: Objective = objective_of(run, material, conditions.load, conditions.ranks, device)
        self._batches = Batches(run, material, labelling, conditions.ranks)
        self._epoch = self._step = 0
        self._sums = torch.zeros(3, dtype=torch.float64)
        self._pending: list[tuple[int, torch.Tensor]] = []
        self._snapshots: Snapshots | None = None
        self._saved = time.monotonic()

    def finish(self) -> Built:
        """All epochs that are left."""
        if not self._resume():
            initialise(self._run, self._built, self._material.train)
        if self._run.recipe.snapshots is not None and self._with.ranks.first:
            self._snapshots = Snapshots(self._with.folder, self._built, self._material.test)
        for epoch in range(self._epoch, self._run.recipe.epochs):
            self._epoch = epoch
            self._look_at_plane()
            self._one_epoch()
        self._look_at_plane()
        return self._built

    def _look_at_plane(self) -> None:
        """A snapshot, where one is due after so many whole epochs."""
        recipe, done = self._run.recipe, self._epoch
        if self._snapshots is None or recipe.snapshots is None or self._step:
            return
        if done % recipe.snapshots == 0 or done == recipe.epochs:
            self._snapshots.take(done, self._trainee)

    def _one_epoch(self) -> None:
        started, first = time.monotonic(), self._step
        while self._step < self._batches.steps:
            self._look_up()
            self._one_step()
        self._settle()
        seconds = time.monotonic() - started
        made = (self._step - first) * self._run.recipe.batch_size
        line = self._line(made / seconds if seconds else 0.0)
        self._epoch, self._step, self._sums = self._epoch + 1, 0, torch.zeros(3, dtype=torch.float64)
        if self._with.ranks.first:
            journal.append(self._with.folder, line)
        if self._epoch == self._run.recipe.epochs:
            self._save()
        self._with.told(line)

    def _one_step(self) -> None:
        epoch, step = self._epoch, self._step
        rate = self._schedule.rate(epoch + step / self._batches.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch, share = self._batches.at(epoch, step)
        self._optimizer.zero_grad(set_to_none=True)
        with drawing(self._run.seed, Purpose.DROPOUT, epoch, step, self._with.ranks.rank):
            minimised = self._objective.backward(batch, self._trainee)
        if self._run.recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._built.network.parameters(), self._run.recipe.optimizer.clip_norm)
        self._pending.append((step, torch.stack([minimised.loss.double(), minimised.floor.double()])))
        self._sums[2] += share
        if self._with.device.type == "cpu" or len(self._pending) >= CHECKED_EVERY:
            self._settle()
        self._optimizer.step()
        self._objective.after(self._trainee)
        self._step = step + 1

    def _settle(self) -> None:
        """Adds up the losses since the last look, of all processes."""
        if not self._pending:
            return
        steps = [step for step, _ in self._pending]
        ranks = self._with.ranks
        values = ranks.total(torch.stack([value for _, value in self._pending])).cpu() / ranks.world
        self._pending.clear()
        for step, (loss, floor) in zip(steps, values.tolist(), strict=True):
            if not math.isfinite(loss):
                raise self._diverged(step, loss)
            self._sums[0] += loss
            self._sums[1] += floor

    def _diverged(self, step: int, loss: float) -> UnfinishedError:
        kept = (self._with.folder / checkpoint.FILE).exists()
        rate = self._run.recipe.optimizer.rate
        return UnfinishedError(
            f"the loss of {self._run.name} is {loss} in epoch {self._epoch + 1}, batch {step + 1}",
            detail="the last checkpoint before it is kept" if kept else "it had no checkpoint yet",
            remedy=f"a lower learning rate, such as --set optimizer.rate={rate / 4:g}, in another folder",
        )

    def _line(self, speed: float) -> Epoch:
        loss, floor, share = (self._sums / self._batches.steps).tolist()
        test, held_out = self._judged(self._material.test), None
        if self._material.held_out is not None:
            held_out = self._judged(self._material.held_out)
        return journal.Epoch(
            run=self._run.name,
            epoch=self._epoch + 1,
            epochs=self._run.recipe.epochs,
            loss=loss,
            excess=loss - floor,
            mixing_share=share,
            rate=self._optimizer.param_groups[0]["lr"],
            test=test,
            held_out=held_out,
            images_per_second=speed,
        )

    def _judged(self, examples: Examples) -> Standing | None:
        """None in epochs between two evaluations."""
        recipe, done = self._run.recipe, self._epoch + 1
        each = math.ceil(JUDGED_AFTER * len(examples) / (self._batches.steps * recipe.batch_size))
        if done < recipe.epochs and done % each:
            return None
        self._with.ranks.share_buffers(self._built.network)
        return evaluated(self._trainee, examples, self._material.classes, self._with.ranks)

    def _look_up(self) -> None:
        """Saves when it is time, and ends when somebody asked for it: all processes at the same step, or none."""
        ranks = self._with.ranks
        if ranks.world > 1 and self._step % AGREED_EVERY:
            return
        due = time.monotonic() - self._saved > SAVED_EVERY
        asked = torch.tensor([float(self._with.stopped()), float(due)])
        stopped, due = (ranks.total(asked.to(self._with.device)) > 0).tolist() if ranks.world > 1 else asked.tolist()
        if stopped or due:
            self._save()
        if stopped:
            raise Stopped(self._run.name)

    def _save(self) -> None:
        self._settle()
        self._saved = time.monotonic()
        if not self._with.ranks.first:
            return
        state = checkpoint.State(
            epoch=self._epoch,
            step=self._step,
            sums=self._sums,
            network=self._built.network.state_dict(),
            optimizer=self._optimizer.state_dict(),
        )
        checkpoint.save(state, self._with.folder, self._run.identity)

    def _resume(self) -> bool:
        """Whether there was anything to go on from."""
        state = checkpoint.load(self._with.folder, self._run.identity, self._with.device)
        if self._with.ranks.first:
            journal.keep(self._with.folder, 0 if state is None else state.epoch)
        if state is not None:
            self._epoch, self._step, self._sums = state.epoch, state.step, state.sums
            self._built.network.load_state_dict(state.network)
            self._optimizer.load_state_dict(state.optimizer)
        return state is not None


def _optimizer(section: OptimizerSection, network: nn.Module) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    if section.name == "adamw":
        return torch.optim.AdamW(parameters, lr=section.rate, weight_decay=section.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=section.rate,
        momentum=section.momentum,
        nesterov=section.nesterov,
        weight_decay=section.weight_decay,
    )


def _schedule(run: Run) -> Schedule:
    section = run.recipe.schedule
    return Schedule(
        peak=run.recipe.optimizer.rate,
        shape=Shape(section.shape),
        epochs=run.recipe.epochs,
        warmup_epochs=section.warmup,
        warmup_from=section.warmup_from,
        floor=section.floor,
        milestones=section.milestones,
        factor=section.factor,
    )
