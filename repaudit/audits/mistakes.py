"""Which mistakes is it surest of? Pictures of them, for those who ask: a report may be passed on."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from repaudit.audits import Audit
from repaudit.case import Case, Parameters
from repaudit.finding import Better, Bounds, Definition, Figure, Finding, Measurement, Unit, key_specs
from repaudit.metrics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from repaudit.evidence import Evidence

SURE = "mistakes.sure_share"
SMALLEST, LARGEST = 64, 96
"""Pixels of a thumbnail's longer side; smaller pictures are enlarged without smoothing."""
QUALITY = 85


class MistakesParameters(Parameters):
    """How many pictures, and what counts as sure."""

    limit: Annotated[int, Field(ge=0, le=60)] = 24
    """Pictures at most, the most confident mistakes first. They are kept in the report itself, about 3 kB each."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """From here on a wrong answer counts as sure of itself."""


def run(case: Case[MistakesParameters]) -> Iterator[Finding]:
    """Yields `mistakes.sure_share` and the pictures of the most confident mistakes."""
    summary = case.evidence.summary
    n = len(case.evidence)
    sure = int((~summary.correct & (summary.confidence >= case.parameters.confidence)).sum())
    yield Measurement(
        key=SURE,
        value=sure / n,
        unit=Unit.FRACTION,
        better=Better.LOWER,
        n=n,
        interval=wilson(sure, n),
        note=f"wrong with confidence of at least {case.parameters.confidence:g}",
    )
    wrong = np.flatnonzero(~summary.correct)
    order = np.lexsort((np.array(case.evidence.ids)[wrong], -summary.confidence[wrong]))
    rows = wrong[order][: case.parameters.limit]
    yield Figure(key="mistakes.most_confident", data={"images": list(_entries(case, rows)), "n": len(wrong)})


def _entries(case: Case[MistakesParameters], rows: np.ndarray) -> Iterator[Mapping[str, str | int | float | None]]:
    evidence, names = case.evidence, case.images.class_names
    ids = [evidence.ids[row] for row in rows]
    pictures = [image for batch in case.images.batches(case.shape.rows, ids) for image in batch.images] if ids else []
    for row, picture in zip(rows, pictures, strict=True):
        label, prediction = int(evidence.labels[row]), int(evidence.summary.prediction[row])
        yield {
            "id": evidence.ids[row],
            "label": label,
            "prediction": prediction,
            "label_name": _name(names, label),
            "prediction_name": _name(names, prediction),
            "confidence": _rounded(evidence, row),
            "jpeg": thumbnail(picture),
        }


def _name(names: tuple[str, ...] | None, label: int) -> str | None:
    return names[label] if names is not None and label < len(names) else None


def _rounded(evidence: Evidence, row: int) -> float:
    return float(f"{evidence.summary.confidence[row]:.6g}")


def thumbnail(image: torch.Tensor) -> str:
    """A picture as base64 of a JPEG.

    Args:
        image: (c, h, w) in [0, 1]; one channel is grey, more than three show the first three.
    """
    pixels = (image[:3] if image.shape[0] >= 3 else image[:1]).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    longer = max(picture.size)
    wanted = min(max(longer, SMALLEST), LARGEST)
    if longer != wanted:
        size = tuple(max(1, round(side * wanted / longer)) for side in picture.size)
        kind = Image.Resampling.NEAREST if wanted > longer else Image.Resampling.LANCZOS
        picture = picture.resize((size[0], size[1]), kind)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


audit = Audit(
    question="Which mistakes is it surest of?",
    version=1,
    needs=frozenset(),
    declared=key_specs(Unit.FRACTION, Better.LOWER, Bounds.ANY, SURE),
    definitions={
        SURE: Definition(
            "Share of images that are wrong with a confidence of at least .9 (the parameter `confidence`).",
            "the mistakes that no threshold on confidence catches",
        )
    },
    parameters=MistakesParameters,
    run=run,
)
