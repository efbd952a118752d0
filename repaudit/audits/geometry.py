"""How do features lie: how long, how well aligned with class centres, and how much owed to the bias?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits import Audit
from repaudit.audits._geometry_alignment import CENTERS, LEAVE_ONE_OUT, align, alignment_figures, alignment_findings
from repaudit.audits._geometry_centers import GeometryParameters, find_centers
from repaudit.audits._geometry_collapse import DECLARED as COLLAPSE
from repaudit.audits._geometry_collapse import collapse_findings
from repaudit.audits._geometry_definitions import DEFINITIONS
from repaudit.audits._geometry_measure import NO_CORRECT, Split, mean_of, split_of
from repaudit.case import Case
from repaudit.classifier import Capability
from repaudit.finding import (
    NOT_SAMPLED,
    Better,
    Bounds,
    Column,
    Figure,
    Finding,
    Measurement,
    Skipped,
    Unit,
    key_specs,
)
from repaudit.metrics.bias import BiasDependence, bias_dependence, is_bias_free
from repaudit.metrics.row_space import contrast_basis, row_space_share

if TYPE_CHECKING:
    from collections.abc import Iterator

BIAS_FREE = "the bias is the same for every class, so the head is exactly a cone"


def run(case: Case[GeometryParameters]) -> Iterator[Finding]:
    """Yields `geometry.*` and `collapse.*`, the figures behind them and per-image norms and cosines."""
    split = split_of(case.evidence)
    if split is None:
        reason = case.classifier.card.head.reason or "the model has no linear head"
        yield Skipped(key="geometry.*", reason=reason)
        yield Skipped(key="collapse.*", reason=reason)
        return
    yield from _sizes(split)
    yield from _bias(split)
    yield from _row_space(split)
    centers = find_centers(split, case.parameters)
    alignment = align(split, centers)
    yield from alignment_findings(split, centers, alignment)
    yield from alignment_figures(split, centers, alignment, case.random("geometry.scatter"))
    yield from collapse_findings(split)


def _sizes(split: Split) -> Iterator[Finding]:
    width = split.features.shape[1]
    yield mean_of(
        "geometry.rms",
        split.norms / np.sqrt(width),
        Unit.SCALE,
        note=f"‖f‖/√d over all images, d = {width}",
        empty="there is no image",
    )
    yield Column(name="norm", values=split.norms)
    yield _weights_alone("geometry.weight_norm", np.linalg.norm(split.weight.astype(np.float64), axis=1), "‖w_c‖")
    yield _weights_alone("geometry.bias_abs", np.abs(split.bias.astype(np.float64)), "|b_c|")


def _weights_alone(key: str, values: np.ndarray, symbol: str) -> Measurement:
    return Measurement(
        key=key,
        value=float(values.mean()),
        unit=Unit.SCALE,
        better=Better.NEITHER,
        n=len(values),
        interval_reason=NOT_SAMPLED,
        note=f"mean of {symbol} over classes, sd {values.std(ddof=1):.4g}; n counts classes",
    )


def _bias(split: Split) -> Iterator[Finding]:
    key = "geometry.bias_dependence"
    if is_bias_free(split.bias):
        yield Skipped(key=key, reason=BIAS_FREE)
        return
    found = bias_dependence(split.logits, split.bias, split.labels, split.summary.correct)
    undefined = len(np.unique(split.labels)) - int(found.defined.sum())
    yield mean_of(
        key,
        found.shares,
        Unit.FRACTION,
        note=f"mean n'_c/n_c over classes; n counts classes, {undefined} without a correct image left out",
        empty=NO_CORRECT,
    )
    yield _bias_figure(split, found, undefined)


def _bias_figure(split: Split, found: BiasDependence, undefined: int) -> Figure:
    magnitude, shares = np.abs(split.bias.astype(np.float64)), found.shares
    return Figure(
        key="geometry.bias",
        data={
            "bias_abs_mean": float(magnitude.mean()),
            "bias_abs_sd": float(magnitude.std(ddof=1)),
            "dependence_mean": float(shares.mean()) if len(shares) else None,
            "dependence_sd": float(shares.std(ddof=1)) if len(shares) > 1 else None,
            "dependence_pooled": found.pooled if len(shares) else None,
            "correct_predictions_lost": int(found.lost.sum()),
            "errors_caused": found.caused_errors,
            "classes_undefined": undefined,
        },
    )


def _row_space(split: Split) -> Iterator[Finding]:
    key = "geometry.row_space_share"
    width = split.features.shape[1]
    basis = contrast_basis(split.weight)
    rank = basis.shape[1]
    if rank == width:
        yield Skipped(key=key, reason=f"the contrast span is all of feature space (d = {width}): the share is 1")
        return
    found = row_space_share(split.features, split.norms, basis)
    share = found.share[np.isfinite(found.share)]
    yield mean_of(
        key,
        share,
        Unit.FRACTION,
        note=f"mean ‖P f‖²/‖f‖² of raw features in the contrast span, rank {rank} of d = {width}, all images",
        empty="every feature is 0",
    )
    yield Figure(
        key="geometry.row_space",
        data={
            "rank": rank,
            "width": width,
            "share_raw_mean": float(share.mean()) if len(share) else None,
            "share_raw_sd": float(share.std(ddof=1)) if len(share) > 1 else None,
            "share_centered": found.centered,
            "share_if_isotropic": rank / width,
        },
    )


_VARIANTS = {**dict.fromkeys(CENTERS, ("", "_predicted", "_correct")), LEAVE_ONE_OUT: ("", "_correct")}
_CORRELATIONS = tuple(
    f"geometry.{kind}.{name}{variant}"
    for kind in ("pearson", "spearman")
    for name, variants in _VARIANTS.items()
    for variant in variants
)

audit = Audit(
    question="How do features lie, and where are the class centres?",
    version=1,
    needs=frozenset({Capability.FEATURES, Capability.LINEAR_HEAD}),
    declared=(
        *key_specs(Unit.SCALE, Better.NEITHER, Bounds.ANY, "geometry.rms"),
        *key_specs(Unit.SCALE, Better.NEITHER, Bounds.NONE, "geometry.weight_norm", "geometry.bias_abs"),
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.ANY, "geometry.bias_dependence", "geometry.row_space_share"),
        *key_specs(
            Unit.COSINE,
            Better.NEITHER,
            Bounds.ANY,
            *(f"geometry.cosine.{name}" for name in (*CENTERS, LEAVE_ONE_OUT)),
        ),
        *key_specs(Unit.CORRELATION, Better.NEITHER, Bounds.ANY, *_CORRELATIONS),
        *COLLAPSE,
    ),
    definitions=DEFINITIONS,
    parameters=GeometryParameters,
    run=run,
)
