"""The plane over training, from the file that a training run left beside its checkpoint."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.finding import Figure, plotted
from repaudit.images import stratified

if TYPE_CHECKING:
    from repaudit.classifier import Classifier
    from repaudit.finding import FigureValue

FILE = "snapshots.npz"
"""As `repaudit train` calls it."""
SHOWN = 6
"""Moments of training that are drawn."""
SAMPLE = 120
"""Images whose features are drawn at each moment."""
_SAME = 1e-4
"""By how much, of its largest entry, the last head may differ from the model's."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Head and features of the same images at several moments of training."""

    epoch: np.ndarray
    """(s,) rising: how many epochs were over."""
    weight: np.ndarray
    """(s, c, d)."""
    bias: np.ndarray
    """(s, c)."""
    features: np.ndarray
    """(s, n, d)."""
    labels: np.ndarray
    """(n,)."""


def read_snapshots(path: Path) -> Snapshots | None:
    """What such a file holds; None where there is none, or none that fits together."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            found = Snapshots(*(stored[name] for name in Snapshots.__slots__))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if _sound(found) else None


def _sound(found: Snapshots) -> bool:
    shapes = (found.epoch.ndim, found.weight.ndim, found.bias.ndim, found.features.ndim, found.labels.ndim)
    if shapes != (1, 3, 2, 3, 1) or not len(found.epoch) or not len(found.labels):
        return False
    moments, classes, width = found.weight.shape
    fits = found.bias.shape == (moments, classes) and found.features.shape == (moments, len(found.labels), width)
    whole = found.labels.dtype.kind in "iu" and found.epoch.dtype.kind in "iu"
    if not (fits and whole and len(found.epoch) == moments):
        return False
    rising = (np.diff(found.epoch) > 0).all() and found.epoch[0] >= 0
    labelled = found.labels.min() >= 0 and found.labels.max() < classes
    finite = all(np.isfinite(values).all() for values in (found.weight, found.bias, found.features))
    return bool(rising and labelled and finite)


def training_figure(classifier: Classifier, weight: np.ndarray, seed: int) -> Figure | None:
    """`plane.training` of the file beside a checkpoint; None without one that ends in this very head.

    Args:
        classifier: whose checkpoint it is.
        weight: (c, d) of its head.
        seed: of the choice of images.
    """
    model = Path(classifier.card.ref.removeprefix("checkpoint:"))
    found = read_snapshots(model.with_name(FILE)) if model.is_file() else None
    if found is None or found.weight.shape[1:] != weight.shape:
        return None
    if np.abs(found.weight[-1] - weight).max() > _SAME * np.abs(weight).max():
        return None
    rows = stratified(found.labels, SAMPLE, seed)
    moments: list[dict[str, FigureValue]] = [
        {
            "epoch": int(found.epoch[at]),
            "weight": [plotted(row) for row in found.weight[at]],
            "bias": plotted(found.bias[at]),
            "feature": [plotted(row) for row in found.features[at][rows]],
        }
        for at in telling_moments(found.epoch)
    ]
    return Figure(
        key="plane.training",
        data={"label": found.labels[rows].tolist(), "snapshots": moments, "taken": len(found.epoch)},
    )


def telling_moments(epochs: np.ndarray) -> list[int]:
    """Places of at most six of the moments: the first, the last, and between them those nearest to equal ratios.

    Most happens early: from 0 to 100 epochs these are 0, 1, 3, 10, 32 and 100.
    """
    if len(epochs) <= SHOWN:
        return list(range(len(epochs)))
    wanted = np.geomspace(max(int(epochs[1]), 1), int(epochs[-1]), SHOWN - 1)
    nearest = [int(np.abs(epochs - epoch).argmin()) for epoch in wanted]
    return sorted({0, *nearest})
