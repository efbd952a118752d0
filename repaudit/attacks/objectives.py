"""What gradient attacks raise: scalars of the logits that are large where the label has lost.

Each takes logits (r, k), labels (r,) and targets (r,) and gives (r,); untargeted ones leave the targets unread. A row
depends on nothing but itself. Where several classes tie for the largest logit, the gradient is that of one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch.nn import functional as F

Objective: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
ObjectiveName: TypeAlias = Literal["ce", "dlr", "targeted_dlr"]
"""As profiles call them."""

GUARD = 1e-12
"""Added to the denominators of DLR, as in its published code."""
DLR_CLASSES = 3
TARGETED_DLR_CLASSES = 4


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(r,): −log softmax of the label, in nats."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(r,): largest other logit − the label's (Carlini & Wagner 2017, f₆); above 0 on misclassified rows."""
    return _lead(logits, labels, *logits.topk(2, dim=1))


def targeted_margin(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(r,): the target's logit − the label's."""
    return _of(logits, targets) - _of(logits, labels)


def dlr(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(r,): difference of logits ratio, −(z_y − max_{i≠y} z_i) / (z_(1) − z_(3)) (Croce & Hein 2020, eq. 6).

    Unchanged when the logits are shifted or scaled. Needs 3 classes.
    """
    largest, place = logits.topk(DLR_CLASSES, dim=1)
    return _lead(logits, labels, largest, place) / (largest[:, 0] - largest[:, 2] + GUARD)


def targeted_dlr(logits: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(r,): −(z_y − z_t) / (z_(1) − (z_(3) + z_(4)) / 2) (Croce & Hein 2020, eq. 7). Needs 4 classes."""
    largest = logits.topk(TARGETED_DLR_CLASSES, dim=1).values
    spread = largest[:, 0] - 0.5 * (largest[:, 2] + largest[:, 3])
    return targeted_margin(logits, labels, targets) / (spread + GUARD)


class Chosen(NamedTuple):
    """What an attack computes under an objective's name."""

    objective: Objective
    note: str | None
    """In a few words, if it is not what the name says."""


def for_classes(name: ObjectiveName, classes: int) -> Chosen:
    """The objective called `name` on so many logits: the margin where DLR is undefined."""
    if name == "ce":
        return Chosen(cross_entropy, None)
    if name == "dlr":
        if classes >= DLR_CLASSES:
            return Chosen(dlr, None)
        return Chosen(margin, f"margin loss in place of DLR, which needs {DLR_CLASSES} classes")
    if classes >= TARGETED_DLR_CLASSES:
        return Chosen(targeted_dlr, None)
    return Chosen(
        targeted_margin,
        f"targeted margin loss in place of targeted DLR, which needs {TARGETED_DLR_CLASSES} classes",
    )


def targets_by_logit(logits: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The classes that targeted attacks of AutoAttack try on each image: the others by falling clean logit.

    The published code takes ranks 2 to `count` + 1, which is the same where the label alone has the largest logit. Of
    equal logits the higher class comes first, as its ascending sort leaves them.

    Args:
        logits: (n, c) of the clean images.
        labels: (n,), never a target.
        count: how many at most.

    Returns:
        (n, min(count, c − 1)) int64.
    """
    others = np.array(logits, dtype=np.result_type(logits, np.float32))
    np.put_along_axis(others, labels[:, None], np.inf, axis=1)
    rising = np.argsort(others, axis=1, kind="stable")
    chosen: np.ndarray = rising[:, ::-1][:, 1 : count + 1].astype(np.int64)
    return chosen


def _lead(logits: torch.Tensor, labels: torch.Tensor, largest: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Largest other logit − the label's, from the two largest logits and their classes."""
    other = torch.where(place[:, 0] == labels, largest[:, 1], largest[:, 0])
    return other - _of(logits, labels)


def _of(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, classes[:, None]).squeeze(1)
