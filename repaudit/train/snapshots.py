"""The plane of the features over training: the head and the features of a few test images, every so many epochs."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from repaudit.audits._plane_snapshots import FILE, read_snapshots
from repaudit.audits._plane_snapshots import Snapshots as Taken
from repaudit.errors import InvalidRecipe, UnfinishedError
from repaudit.images import stratified
from repaudit.train.widen import WideHead

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.train.examples import Examples
    from repaudit.train.network import Built
    from repaudit.train.trainee import Trainee

SAMPLE = 400
"""Test images at most, every class in its share."""


class Watched:
    """A network with one linear head, whose features can be asked for."""

    def __init__(self, built: Built) -> None:
        if len(built.heads) != 1:
            raise InvalidRecipe(
                f"features are taken before one linear head; this network has {len(built.heads)}",
                remedy="another --arch, such as baseline:resnet18",
            )
        self._network = built.network
        self._layer = built.network.network.get_submodule(built.heads[0])

    @property
    def head(self) -> nn.Linear:
        """The rows of the real classes."""
        layer = self._layer.real if isinstance(self._layer, WideHead) else self._layer
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"a bottleneck stands before a linear layer, not before a {type(layer).__name__}")
        return layer

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(b, d) features of (b, c, h, w) pixels, in whatever mode the network is."""
        found: list[torch.Tensor] = []
        hook = self._layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        try:
            self._network(pixels)
        finally:
            hook.remove()
        return found[0]


class Snapshots:
    """Writes `snapshots.npz` of one run."""

    def __init__(self, folder: Path, built: Built, test: Examples) -> None:
        self._path, self._watched = folder / FILE, Watched(built)
        rows = stratified(test.labels.cpu().numpy(), SAMPLE, 0)
        self._rows = torch.from_numpy(rows).to(test.labels.device)
        self._test = test
        self._taken = read_snapshots(self._path)

    def take(self, epoch: int, trainee: Trainee) -> None:
        """Adds the plane after so many epochs; what the file has of later ones was of a run that was set back.

        Raises:
            UnfinishedError: the file cannot be written.
        """
        with trainee.attacked(), torch.no_grad():
            features = self._watched.features(pixels(self._test.stored[self._rows]))
        head = self._watched.head
        now = {
            "epoch": np.array(epoch),
            "weight": head.weight.detach().float().cpu().numpy().copy(),  # else a view of what goes on learning
            "bias": head.bias.detach().float().cpu().numpy().copy(),
            "features": features.float().cpu().numpy(),
        }
        arrays = {name: value[None] for name, value in now.items()}
        if self._taken is not None:
            kept, before = self._taken, self._taken.epoch < epoch
            arrays = {name: np.concatenate([getattr(kept, name)[before], value]) for name, value in arrays.items()}
        self._taken = Taken(**arrays, labels=self._test.labels[self._rows].cpu().numpy())
        self._write(self._taken)

    def _write(self, taken: Taken) -> None:
        fresh, content = self._path.with_suffix(".new"), io.BytesIO()
        np.savez(content, **asdict(taken))
        try:
            fresh.write_bytes(content.getvalue())
            fresh.replace(self._path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise UnfinishedError(
                f"{self._path} cannot be written: {error}", remedy="free some space and give the same command again"
            ) from None


def pixels(stored: torch.Tensor) -> torch.Tensor:
    """(b, c, h, w) float32 in [0, 1] of images as they are stored, uint8 or float32."""
    return stored.float().div_(255) if stored.dtype == torch.uint8 else stored
