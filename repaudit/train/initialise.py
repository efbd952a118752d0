"""Where a network with a bottleneck of two features begins (RS, Fig. 12): its extractor, its head, or both far away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidRecipe
from repaudit.train.recipe import Initialisation
from repaudit.train.snapshots import Watched, pixels
from repaudit.train.streams import Purpose, drawing, numpy_generator

if TYPE_CHECKING:
    from repaudit.train.examples import Examples
    from repaudit.train.network import Built
    from repaudit.train.runs import Run

POINT = (80.0, 80.0)
"""Where a far extractor puts all features."""
RATE = 5e-4
"""Of the plain SGD that takes them there, for one epoch."""
ROWS = (
    (0.1318, -0.0165),
    (0.2245, 0.0709),
    (0.2630, 0.1030),
    (0.2881, 0.1138),
    (0.2947, 0.1381),
    (0.3189, 0.1362),
    (0.3195, 0.1567),
    (0.3323, 0.1654),
    (0.3482, 0.1684),
    (0.3619, 0.1806),
)
"""Of a far head: its regions are strips that lie on one side of the plane."""
BIASES = (15.705, 9.045, 5.644, 3.144, 0.834, -1.286, -3.442, -5.799, -8.489, -11.972)
_FAR_EXTRACTOR = (Initialisation.FAR_EXTRACTOR, Initialisation.FAR_BOTH)
_FAR_HEAD = (Initialisation.FAR_HEAD, Initialisation.FAR_BOTH)


def initialise(run: Run, built: Built, train: Examples) -> None:
    """Moves extractor and head to where the recipe wants them; nothing for the default.

    Args:
        run: whose recipe says where.
        built: changed in place; on the device of the images.
        train: images that the extractor is moved on, without crops or mixing.

    Raises:
        InvalidRecipe: a far head for other than ten classes.
    """
    kind = run.recipe.network.initialisation
    if kind is Initialisation.DEFAULT:
        return
    watched = Watched(built)
    if kind in _FAR_HEAD:
        _far_head(watched)
    if kind in _FAR_EXTRACTOR:
        _far_extractor(run, built, watched, train)


def _far_head(watched: Watched) -> None:
    layer = watched.head
    if layer.weight.shape != (len(ROWS), 2):
        raise InvalidRecipe(
            f"the far head has rows for {len(ROWS)} classes and two features; this network has a head of "
            f"{layer.weight.shape[0]} × {layer.weight.shape[1]}",
            remedy="--set network.initialisation=far-extractor",
        )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(ROWS))
        layer.bias.copy_(torch.tensor(BIASES))


def _far_extractor(run: Run, built: Built, watched: Watched, train: Examples) -> None:
    """One epoch of plain SGD on the mean distance ‖f − (80, 80)‖; the head has no part in it."""
    network = built.network
    training = network.training
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    size = run.recipe.batch_size
    order = torch.from_numpy(numpy_generator(run.seed, Purpose.EXTRACTOR).permutation(len(train)))
    point = torch.tensor(POINT, device=train.labels.device)
    network.train()
    for step in range(len(train) // size):
        rows = order[step * size : (step + 1) * size].to(train.labels.device)
        with drawing(run.seed, Purpose.EXTRACTOR, 1, step):
            features = watched.features(pixels(train.stored[rows]))
        optimizer.zero_grad(set_to_none=True)
        torch.linalg.vector_norm(features - point, dim=1).mean().backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    network.train(training)
