"""How far a run is: accuracy, loss and confidence over the real classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from repaudit.train.journal import Standing

if TYPE_CHECKING:
    from repaudit.train.distributed import Ranks
    from repaudit.train.examples import Examples
    from repaudit.train.trainee import Trainee

ROWS = 500


def evaluated(trainee: Trainee, examples: Examples, classes: int, ranks: Ranks) -> Standing:
    """One pass in evaluation mode; every image is counted once, whichever process sees it."""
    network = trainee.network
    training = network.training
    network.eval()
    mine = torch.tensor(list(ranks.every(len(examples))), device=trainee.device)
    sums = torch.zeros(4, dtype=torch.float64, device=trainee.device)
    with torch.inference_mode():
        for rows in torch.split(mine, ROWS):
            images = examples.stored[rows].float()
            pixels = images.div_(255) if examples.stored.dtype == torch.uint8 else images
            logits, labels = trainee.answer(pixels).float(), examples.labels[rows]
            real = logits[:, :classes].log_softmax(1)
            best, predicted = real.max(1)
            beside = 1 - logits.softmax(1)[:, :classes].sum(1)
            parts = ((predicted == labels), F.nll_loss(real, labels, reduction="none"), best.exp(), beside)
            sums += torch.stack([part.double().sum() for part in parts])
    network.train(training)
    accuracy, loss, confidence, virtual = (ranks.total(sums) / len(examples)).tolist()
    return Standing(accuracy, loss, confidence, max(virtual, 0.0))
