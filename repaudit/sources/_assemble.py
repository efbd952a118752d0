"""From a loaded network to a classifier whose claims were checked on one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from repaudit.classifier import Capability, Card, Classifier, HeadCard
from repaudit.errors import InvalidModel
from repaudit.sources._head import Listening, find_head
from repaudit.sources._operations import OperationCounter
from repaudit.sources._own_normalisation import normalised_twice
from repaudit.sources._preprocess import read_preprocess, ways_for
from repaudit.sources._proof import PROOF_ROWS, asked, proof_batch, prove_at_another_size
from repaudit.sources._refused_images import refused_images
from repaudit.sources._softmax import Uncovered, uncover_logits
from repaudit.sources._state import state_sha256
from repaudit.sources._steady import DOUBTED, PROGRAMS, differs, unsteady

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.finding import Notice
    from repaudit.preprocessing import Preprocess
    from repaudit.sources._contract import Draft, ModelRequest
    from repaudit.sources._head import FoundHead

WATCHED = 1
"""Which of them is asked alone: it has neighbours on both sides."""
SIZES_TRIED = (32, 224, 28, 8, 64, 16, 96, 128, 160, 256, 299, 384, 512)
"""Sides of square images on which a network of unknown input size is tried, in this order."""


@dataclass(frozen=True, slots=True)
class _Probe:
    """The classifier under construction, and the size on which it answers."""

    classifier: Classifier
    listening: Listening | None
    size: tuple[int, int]
    outputs: torch.Tensor
    """(4, c) on proof batch 0."""

    def logits(self, index: int) -> torch.Tensor:
        """(4, c) on the index-th proof batch, autocast off."""
        return _run(self.classifier, self.listening, self.size, index)

    def told(self, index: int) -> torch.Tensor:
        """The same, without running the network again on the batch on which it ran last."""
        return self.outputs if index == 0 else self.logits(index)


def assemble(draft: Draft, request: ModelRequest) -> Classifier:
    """Checks weights and outputs, finds and proves the head, and writes the card.

    Raises:
        InvalidModel: preprocessing is unknown, weights or outputs are not finite, or the network does not take
            such images or does not answer with (b, c).
    """
    preprocess = _preprocess(draft, request)
    network = draft.network.float()
    _refuse_broken_weights(network, request.ref)
    card = _card(draft, request, preprocess)
    listening = Listening(network) if draft.find_head is None else None
    probe = _probe(Classifier(network, card, None, request.device, frozenset()), request.ref, listening, draft.size)
    classes = _count_classes(probe.outputs, request.ref)
    uncovered, probe = _uncovered(draft, probe, card)
    found = _head(draft, uncovered.network, classes, probe)
    capabilities = set() if found.head is None else {Capability.FEATURES, Capability.LINEAR_HEAD}
    gradients, operations, alone = _watched(probe)
    notices = [normalised_twice(draft.own_normalisation, preprocess), _unsteady(draft, probe, alone)]
    if found.head is not None:
        found.head.collect()  # which would keep all that its gradient needs
    if gradients:
        capabilities.add(Capability.GRADIENTS)
    fits = draft.class_ids is not None and len(draft.class_ids) == classes
    card = replace(
        card,
        classes_count=classes,
        class_ids=draft.class_ids if fits else None,
        head=found.card,
        notes=tuple(_notes(draft, uncovered, probe, found, gradients=gradients)),
        notices=tuple(notice for notice in notices if notice is not None),
        checked_size=probe.size,
        operations=operations,
    )
    classifier = Classifier(
        uncovered.network,
        card,
        found.head,
        request.device,
        frozenset(capabilities),
        gradients_elsewhere=draft.gradients_elsewhere,
    )
    if preprocess.size is None and found.card.kind == "1x1 convolution":
        prove_at_another_size(classifier, probe.size)
    return classifier


def _notes(draft: Draft, uncovered: Uncovered, probe: _Probe, found: FoundHead, *, gradients: bool) -> Iterator[str]:
    """Remarks of the loading, in its order."""
    yield from draft.notes
    if uncovered.note is not None:
        yield uncovered.note
    if probe.classifier.card.preprocess.size is None:
        yield f"no input size is given; checked on {probe.size[0]}×{probe.size[1]} images"
    if found.head is None:
        yield f"no linear head: {found.card.reason}"
    if not gradients:
        why = draft.no_gradients or "the network detaches, or runs under no_grad"
        yield f"no gradients: {why}; only what needs none can run (the attack square, the audit transfer)"
    classes = probe.outputs.shape[1]
    if draft.class_ids is not None and len(draft.class_ids) != classes:
        yield f"{len(draft.class_ids)} class names for {classes} classes: names not used"


def _uncovered(draft: Draft, probe: _Probe, card: Card) -> tuple[Uncovered, _Probe]:
    """The network that answers with logits, and what it answers."""
    network, listening = probe.classifier.network, probe.listening
    if draft.softmax_cut:
        return Uncovered(network, None), probe
    uncovered = uncover_logits(network, probe.outputs, lambda: probe.logits(0))
    if uncovered.note is None:
        return uncovered, probe
    bare = Classifier(uncovered.network, card, None, probe.classifier.device, frozenset())
    return uncovered, _Probe(bare, listening, probe.size, _run(bare, listening, probe.size, 0))


def _head(draft: Draft, network: nn.Module, classes: int, probe: _Probe) -> FoundHead:
    if draft.find_head is not None:
        return draft.find_head(probe.told)
    heard = None if probe.listening is None else probe.listening.taps(network, classes)
    return find_head(network, classes, probe.logits if heard is None else probe.told, heard)


def _card(draft: Draft, request: ModelRequest, preprocess: Preprocess) -> Card:
    """What is known before the network was asked anything."""
    network = draft.network
    return Card(
        ref=request.ref,
        resolved=draft.resolved,
        source=draft.source,
        architecture=draft.architecture,
        arguments=dict(request.arguments),
        weights_sha256=draft.weights_sha256 or state_sha256(network),
        files=dict(draft.files),
        preprocess=preprocess,
        params_count=draft.params_count or sum(parameter.numel() for parameter in network.parameters()),
        classes_count=0,
        class_ids=None,
        head=HeadCard(kind="none", reason="not looked for yet"),
        engines=dict(draft.engines),
    )


def _preprocess(draft: Draft, request: ModelRequest) -> Preprocess:
    known = draft.preprocess if request.preprocess is None else read_preprocess(request.preprocess)
    if known is not None:
        return replace(known, layout=draft.layout or known.layout, size=known.size or draft.size)
    raise InvalidModel(
        f"nothing says how images are normalised for `{request.ref}`",
        detail="a wrong mean or std lowers accuracy without a word, so it is never guessed",
        remedy=ways_for(draft.source, draft.files),
    )


def _refuse_broken_weights(network: nn.Module, ref: str) -> None:
    parameters = dict(network.named_parameters())
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            continue
        if bool(tensor.sum().isfinite()):  # cheaper, and never so where a value is not
            continue
        # Attention masks keep −inf in buffers on purpose; NaN and +inf have no use anywhere.
        broken = ~torch.isfinite(tensor) if name in parameters else tensor.isnan() | tensor.isposinf()
        if bool(broken.any()):
            raise InvalidModel(
                f"`{ref}`: weights `{name}` hold NaN or infinity",
                detail=f"{int(broken.sum())} of {tensor.numel()} values are not finite",
                remedy="an earlier checkpoint of the same training: this one diverged",
            )


def _run(classifier: Classifier, listening: Listening | None, size: tuple[int, int], index: int) -> torch.Tensor:
    if listening is not None:
        listening.forget()
    return asked(classifier, proof_batch(classifier.card.preprocess.channels, size, index).to(classifier.device))


def _probe(classifier: Classifier, ref: str, listening: Listening | None, declared: tuple[int, int] | None) -> _Probe:
    """Finds a size that the network takes; refuses outputs that are not one row of numbers per image.

    `declared` is the size that the file says, for the message where it takes none.
    """
    preprocess = classifier.card.preprocess
    size = preprocess.size
    tried = [size] if size is not None else [(side, side) for side in SIZES_TRIED]
    shapes = classifier.network.register_forward_hook(lambda _, __, output: _check_output(output, ref))
    first: Exception | None = None
    try:
        for height, width in tried:
            side = (height, width)
            try:
                return _Probe(classifier, listening, side, _run(classifier, listening, side, 0))
            except InvalidModel:
                raise
            except Exception as error:  # whatever a network raises on images of the wrong shape
                first = first or error
    finally:
        shapes.remove()
    asked = proof_batch(preprocess.channels, tried[0], 0)
    raise refused_images(classifier, ref, asked, declared, first or ValueError("no size was tried")) from first


def _check_output(output: object, ref: str) -> None:
    if not isinstance(output, torch.Tensor):
        raise InvalidModel(
            f"`{ref}` answers with {type(output).__name__}, not with one tensor of logits",
            remedy="py:FILE.py:factory with a wrapper whose forward() returns the logits (b, classes)",
        )
    if output.dim() != 2 or len(output) != PROOF_ROWS or output.shape[1] < 2:
        raise InvalidModel(
            f"`{ref}` answers {PROOF_ROWS} images with shape {tuple(output.shape)}, not ({PROOF_ROWS}, classes)",
            remedy="a classifier of at least two classes; a headless backbone has no predictions to audit",
        )


def _count_classes(logits: torch.Tensor, ref: str) -> int:
    bad = int((~torch.isfinite(logits)).any(1).sum())
    if bad:
        raise InvalidModel(
            f"`{ref}` answers with NaN or infinity on {bad} of {len(logits)} random images",
            remedy="check --preprocess (mean, std), and whether the weights overflowed when they were stored",
        )
    return int(logits.shape[1])


def _unsteady(draft: Draft, probe: _Probe, alone: torch.Tensor) -> Notice | None:
    """What makes answers to one image differ; where `eval()` rules, only if the image that was asked alone did."""
    if draft.source not in DOUBTED and not differs(alone, probe.outputs[WATCHED : WATCHED + 1]):
        return None
    channels, device = probe.classifier.card.preprocess.channels, probe.classifier.device
    batches = [proof_batch(channels, probe.size, index).to(device) for index in range(2)]
    program = draft.source in PROGRAMS
    ask = partial(asked, probe.classifier)
    return unsteady(ask, batches[0], batches[1], probe.outputs, program=program)


def _watched(probe: _Probe) -> tuple[bool, int | None, torch.Tensor]:
    """Whether gradients reach the pixels, and the operations on one image where they can be counted; in one pass.

    Its (1, c) logits come along.
    """
    preprocess, device = probe.classifier.card.preprocess, probe.classifier.device
    image = proof_batch(preprocess.channels, probe.size, 0)[WATCHED : WATCHED + 1].to(device).requires_grad_()
    with torch.enable_grad():
        try:
            with OperationCounter() as counter:
                logits = probe.classifier.logits(image)
        except Exception:  # a network that cannot be watched works all the same
            logits = probe.classifier.logits(image)
            return logits.requires_grad, None, logits.detach()
    return logits.requires_grad, counter.operations or None, logits.detach()
