"""What in an image moves the logit of its class? Pictures of it, for those who ask: a report may be passed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field

from repaudit.attacks.checks import unchanged
from repaudit.audits import Audit
from repaudit.audits._geometry_measure import mean_of
from repaudit.audits._virtual_beside import VirtualRows, virtual_beside
from repaudit.audits.mistakes import thumbnail
from repaudit.case import Case, Parameters
from repaudit.classifier import Capability
from repaudit.evidence import padded
from repaudit.finding import NOT_NEEDED, Better, Bounds, Definition, Figure, Finding, Skipped, Unit, key_specs
from repaudit.foreign import contained
from repaudit.images import stratified
from repaudit.numerics import same_kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.classifier import Classifier
    from repaudit.finding import FigureValue
    from repaudit.images import Batch

NORM, COSINE = "input_gradients.norm", "input_gradients.virtual_cosine"
SPREAD = 3.0
"""Standard deviations of a gradient that its picture shows, from black to white."""


class InputGradientsParameters(Parameters):
    """How many images, and how many pictures of them."""

    images: Annotated[int, Field(ge=2)] = 64
    """Images that are measured, every class in its share."""
    pictures: Annotated[int, Field(ge=0, le=12)] = 6
    """Images whose gradients are shown. They are kept in the report itself, about 3 kB each."""
    virtual: Annotated[int, Field(ge=1, le=4)] = 2
    """Virtual classes shown for each image, those of the highest logits first."""


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Gradients of logits with respect to pixels, for a batch."""

    own: torch.Tensor
    """(b, c, h, w) of the correct class's logit."""
    virtual: tuple[torch.Tensor, ...]
    """(b, c, h, w) each: of each image's virtual class of the highest logit, of the second, ..."""
    order: torch.Tensor
    """(b, as many) which virtual classes those are."""


def run(case: Case[InputGradientsParameters]) -> Iterator[Finding]:
    """Yields `input_gradients.*` and pictures of the gradients of a few images."""
    evidence, asked = case.evidence, case.parameters
    rows = stratified(evidence.labels, asked.images, case.seed)
    shown = (
        set(rows[stratified(evidence.labels[rows], asked.pictures, case.seed)].tolist()) if asked.pictures else set()
    )
    head = virtual_beside(case.classifier)
    row_of = {evidence.ids[row]: int(row) for row in rows}
    norms, cosines, entries = [], [], []
    with unchanged(case.classifier.network), same_kernels():
        for batch in case.images.batches(case.shape.rows, list(row_of)):
            slopes = _slopes(case.classifier, batch, case.shape.rows, head, asked.virtual)
            norms.append(slopes.own.flatten(1).norm(dim=1))
            cosines += [_cosines(slopes.own, slopes.virtual[0])] if slopes.virtual else []
            for place, name in enumerate(batch.ids):
                if row_of[name] in shown:
                    entries.append(_entry(case, row_of[name], batch.images[place], slopes, place))
    yield from _measured(_finite(norms), _finite(cosines), head)
    yield Figure(key="input_gradients.pictures", data={"images": entries, "spread": SPREAD})


def _measured(norms: np.ndarray, cosines: np.ndarray, head: VirtualRows | str) -> Iterator[Finding]:
    note = "of the correct class's logit, pixels in [0, 1]"
    yield mean_of(NORM, norms, Unit.SCALE, note=note, empty="no gradient is finite")
    if isinstance(head, str):
        yield Skipped(key=COSINE, reason=f"{NOT_NEEDED}: {head}")
        return
    note = "with the gradient of the virtual class of the highest logit"
    yield mean_of(COSINE, cosines, Unit.COSINE, note=note, empty="every gradient is zero or not finite")


def _slopes(classifier: Classifier, batch: Batch, rows: int, head: VirtualRows | str, virtual: int) -> _Slopes:
    stored = batch.to(classifier.device)
    count = len(batch.ids)
    query = padded(stored.images, rows).clone().requires_grad_()
    with torch.enable_grad():
        output = classifier.forward(query)
        chosen = [output.logits[:count].gather(1, stored.labels[:, None])]
        order = torch.empty((count, 0), dtype=torch.int64)
        if isinstance(head, VirtualRows) and output.features is not None:
            more = output.features[:count] @ head.weight.T + head.bias
            order = more.detach().topk(min(virtual, more.shape[1]), dim=1).indices
            chosen += [more.gather(1, order[:, [rank]]) for rank in range(order.shape[1])]
        found = []
        for place, logits in enumerate(chosen):
            with contained():
                (slope,) = torch.autograd.grad(logits.sum(), query, retain_graph=place + 1 < len(chosen))
            classifier.work.backward_rows += len(query)
            found.append(slope[:count].double().cpu())
    return _Slopes(found[0], tuple(found[1:]), order.cpu())


def _cosines(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(b,) cosines of gradients; NaN where one vanishes or is not finite."""
    one, other = left.flatten(1), right.flatten(1)
    cosines: torch.Tensor = (one * other).sum(dim=1) / (one.norm(dim=1) * other.norm(dim=1))
    return cosines


def _finite(parts: list[torch.Tensor]) -> np.ndarray:
    values: np.ndarray = torch.cat(parts).numpy() if parts else np.empty(0)
    finite: np.ndarray = values[np.isfinite(values)]
    return finite


def _entry(
    case: Case[InputGradientsParameters], row: int, image: torch.Tensor, slopes: _Slopes, place: int
) -> dict[str, FigureValue]:
    evidence, names = case.evidence, case.images.class_names
    label = int(evidence.labels[row])
    gradients: list[dict[str, FigureValue]] = [_gradient("correct", label, slopes.own[place])]
    for rank, slope in enumerate(slopes.virtual):
        gradients.append(_gradient("virtual", int(slopes.order[place, rank]), slope[place]))
    return {
        "id": evidence.ids[row],
        "label": label,
        "label_name": names[label] if names is not None and label < len(names) else None,
        "jpeg": thumbnail(image),
        "gradients": gradients,
    }


def _gradient(kind: str, number: int, slope: torch.Tensor) -> dict[str, FigureValue]:
    norm = float(slope.norm())
    finite = np.isfinite(norm)
    return {
        "kind": kind,
        "class": number,
        "norm": float(f"{norm:.4g}") if finite else None,
        "jpeg": thumbnail(as_picture(slope)) if finite else None,
    }


def as_picture(slope: torch.Tensor) -> torch.Tensor:
    """A gradient (c, h, w) as a picture in [0, 1]: grey is none, white and black are three standard deviations."""
    spread = float(slope.std(correction=0))
    if spread == 0:
        return torch.full_like(slope, 0.5)
    return (0.5 + (slope / (2 * SPREAD * spread))).clamp(0, 1).float()


audit = Audit(
    question="What in an image moves the logit of its class?",
    version=1,
    needs=frozenset({Capability.GRADIENTS}),
    declared=(
        *key_specs(Unit.SCALE, Better.NEITHER, Bounds.ANY, NORM),
        *key_specs(Unit.COSINE, Better.NEITHER, Bounds.ANY, COSINE),
    ),
    definitions={
        NORM: Definition(
            "Mean Euclidean norm of the gradient of the correct class's logit with respect to the pixels in [0, 1]: "
            "how fast the logit moves along it.",
            "Tsipras et al., ICLR 2019, for the pictures; VS (AAAI 2025), Fig. 3",
        ),
        COSINE: Definition(
            "Mean cosine between that gradient and the gradient of the virtual class which has the highest logit on "
            "the image: near 0 where virtual classes look at something else.",
            "VS (AAAI 2025), Fig. 3, as a number",
        ),
    },
    parameters=InputGradientsParameters,
    run=run,
)
