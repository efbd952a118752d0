"""What must be true of a network and its images before the first attack; afterwards a number would mean nothing."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.attacks.intake import require_pixels
from repaudit.errors import InvalidData, InvalidModel
from repaudit.evidence import padded
from repaudit.finding import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from repaudit.case import EvaluationShape
    from repaudit.classifier import Classifier
    from repaudit.images import Batch, ImageSet

SAME = 1e-4
"""Share of the spread of the logits by which two answers to one image may differ."""
NEIGHBOURS = (1, 7)
"""Images of the smaller batches that are compared with a full one; the rest of a call is padding."""
CLEARLY_BETTER = 0.2
"""By how much more often the network must be right on images that were not normalised."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the checks found."""

    faults: tuple[Notice, ...]
    """Each makes every verdict meaningless."""
    remarks: tuple[Notice, ...]
    """Worth knowing; attacks run all the same."""
    gradients: bool
    """A gradient reaches the pixels; without one only attacks that need none can run."""


def preflight(classifier: Classifier, images: ImageSet, ids: Sequence[str], shape: EvaluationShape) -> Preflight:
    """Asks the network a few times about the first images, always with `shape.rows` rows.

    Checked: pixel range, number of classes, labels, finite logits, eval mode and unchanged buffers (all raise);
    the same answer twice, the same answer beside 0, 6 and all other neighbours (faults); probabilities in place of
    logits, better accuracy without normalisation, rounding that depends on the row (remarks); whether gradients
    reach the pixels.

    Raises:
        InvalidData: a pixel lies outside [0, 1], a label outside the classes.
        InvalidModel: training mode, a buffer that changes, NaN or infinite logits, another number of classes.
        ValueError: there is no image.
    """
    if not ids:
        raise ValueError("there is no image to check the network with")
    batch = next(iter(images.batches(shape.rows, ids[: shape.rows]))).to(classifier.device)
    require_pixels(batch)
    pixels = batch.images
    with unchanged(classifier.network), torch.no_grad():
        logits = classifier.logits(_crowd(pixels, shape.rows))[: len(pixels)]
        _require_logits(classifier, logits, batch)
        # a network that changes its mind does so beside other neighbours too, and that would say nothing of them
        fault = _changes_its_mind(classifier, pixels, logits, shape.rows) or _heeds_neighbours(
            classifier, pixels, logits, shape.rows
        )
        faults = [] if fault is None else [fault]
        remarks = [
            remark
            for remark in (
                _probabilities(logits),
                _normalised_twice(classifier, batch, logits, shape.rows),
                None if faults else _rounds_by_place(classifier, pixels, logits, shape.rows),
            )
            if remark is not None
        ]
        gradients = _has_gradients(classifier, pixels, shape.rows)
    return Preflight(tuple(faults), tuple(remarks), gradients)


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Holds a network to eval mode and its buffers to their bytes; per-module flags are restored at the end.

    Raises:
        InvalidModel: a module was in training mode before, or a buffer is another afterwards.
    """
    training = [name or "the whole network" for name, module in network.named_modules() if module.training]
    if training:
        raise InvalidModel(
            f"{len(training)} modules are in training mode, first `{training[0]}`",
            detail="Dropout would answer at random and batch normalisation would learn from the attack.",
            remedy="network.eval() in the function that builds it",
        )
    before = _fingerprints(network)
    try:
        yield
    finally:
        for module in network.modules():
            module.training = False
    after = _fingerprints(network)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if changed:
        raise InvalidModel(
            f"the network changes its own buffers when asked, first `{min(changed)}`",
            detail="An answer then depends on what was asked before.",
            remedy="batch normalisation with track_running_stats frozen, and no counters in forward()",
        )


def _fingerprints(network: nn.Module) -> dict[str, str]:
    def fingerprint(buffer: torch.Tensor) -> str:
        stored = buffer.detach().cpu().contiguous().flatten().view(torch.uint8)
        return hashlib.sha256(stored.numpy().tobytes()).hexdigest()

    return {name: fingerprint(buffer) for name, buffer in network.named_buffers()}


def _crowd(pixels: torch.Tensor, rows: int) -> torch.Tensor:
    """A full call of different images: where there are too few, their dark negatives keep them company."""
    return padded(torch.cat([pixels, (1 - pixels) / 2])[:rows], rows)


def _require_logits(classifier: Classifier, logits: torch.Tensor, batch: Batch) -> None:
    classes = classifier.card.classes_count
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise InvalidModel(
            f"the network answers with shape {tuple(logits.shape)} where {classes} classes were promised",
            remedy="--arch with the number of classes of the weights",
        )
    if not logits.isfinite().all():
        raise InvalidModel(
            "the network answers with NaN or infinity on clean images",
            remedy="the weights in float32, and check --preprocess: overflow usually starts there",
        )
    if batch.labels.min() < 0 or batch.labels.max() >= classes:
        raise InvalidData(
            f"labels run from {int(batch.labels.min())} to {int(batch.labels.max())}, outside the {classes} classes",
            remedy="data whose labels are the model's classes",
        )


def _largest_change(one: torch.Tensor, other: torch.Tensor) -> float:
    spread = (one.amax(dim=1) - one.amin(dim=1)).clamp_min(torch.finfo(one.dtype).tiny)
    return float(((one - other).abs().amax(dim=1) / spread).max())


def _changes_its_mind(classifier: Classifier, pixels: torch.Tensor, logits: torch.Tensor, rows: int) -> Notice | None:
    change = _largest_change(logits, classifier.logits(_crowd(pixels, rows))[: len(pixels)])
    if change <= SAME:
        return None
    return Notice(
        code="random-network",
        message=f"the network answers the same images differently: logits move by {change:.2%} of their spread; "
        "only an attack that averages and votes says anything (autoattack_rand)",
    )


def _heeds_neighbours(classifier: Classifier, pixels: torch.Tensor, logits: torch.Tensor, rows: int) -> Notice | None:
    for count in NEIGHBOURS:
        few = pixels[:count]
        change = _largest_change(logits[: len(few)], classifier.logits(padded(few, rows))[: len(few)])
        if change > SAME:
            return Notice(
                code="batch-dependent-network",
                message=f"an image's logits depend on its neighbours: by {change:.2%} of their spread between "
                f"batches of {count} and {rows} different images",
            )
    return None


def _rounds_by_place(classifier: Classifier, pixels: torch.Tensor, logits: torch.Tensor, rows: int) -> Notice | None:
    """Matrix kernels can round a row by where it lies in memory, as they do where the width is no multiple of 4."""
    moved = classifier.logits(_crowd(pixels, rows).roll(1, dims=0)).roll(-1, dims=0)[: len(pixels)]
    if torch.equal(moved, logits):
        return None
    return Notice(
        code="rounding-depends-on-place",
        message="the last bits of an image's logits depend on which row of a call it is: verdicts of marginal images "
        "can depend on the size of the pool (--batch-size)",
    )


def _has_gradients(classifier: Classifier, pixels: torch.Tensor, rows: int) -> bool:
    query = padded(pixels, rows).clone().requires_grad_()
    with torch.enable_grad():
        return classifier.logits(query).requires_grad


def _probabilities(logits: torch.Tensor) -> Notice | None:
    if not bool((logits >= 0).all()) or not bool(((logits.sum(dim=1) - 1).abs() < SAME).all()):
        return None
    return Notice(
        code="softmax-outputs",
        message="the network answers with probabilities: the cross-entropy of them is nearly flat, and attacks on it "
        "look weaker than they are; give it logits or their logarithm",
    )


def _normalised_twice(classifier: Classifier, batch: Batch, logits: torch.Tensor, rows: int) -> Notice | None:
    preprocess = classifier.card.preprocess
    shape = (1, preprocess.channels, 1, 1)
    mean = torch.tensor(preprocess.mean, device=classifier.device).reshape(shape)
    std = torch.tensor(preprocess.std, device=classifier.device).reshape(shape)
    if bool((mean == 0).all()) and bool((std == 1).all()):
        return None
    raw = classifier.logits(padded(batch.images * std + mean, rows))[: len(batch.labels)]
    before = float((logits.argmax(dim=1) == batch.labels).float().mean())
    without = float((raw.argmax(dim=1) == batch.labels).float().mean())
    if without < before + CLEARLY_BETTER:
        return None
    return Notice(
        code="normalised-twice",
        message=f"on {len(batch.labels)} images the network is right {without:.0%} of the time without normalisation "
        f"and {before:.0%} with it: it may normalise its input itself (see --preprocess)",
    )
