"""Does its confidence mean what it says, and would one number mend it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from repaudit.audits import Audit
from repaudit.audits._calibration_definitions import DEFINITIONS
from repaudit.audits._calibration_figures import feature_scaling, fit, null_band, reliability
from repaudit.audits._recalibrated import HELD_OUT, partitions_of, recalibrated
from repaudit.audits._recalibration import Recalibration, Unavailable, recalibrate, split
from repaudit.audits._resampled import Resampled, mean, resample, unresampled
from repaudit.case import Case, Parameters
from repaudit.finding import NOT_SAMPLED, Better, Bounds, Finding, Measurement, Notice, Skipped, Unit, key_specs
from repaudit.metrics.binning import BINS, equal_mass, equal_width
from repaudit.metrics.calibration import classwise_error, expected_error, maximum_error, over_part, under_part
from repaudit.metrics.resampling import null_errors
from repaudit.metrics.smooth import smooth_error

if TYPE_CHECKING:
    from collections.abc import Iterator


class CalibrationParameters(Parameters):
    """How errors are binned and resampled, and how much is fitted on."""

    bins: int = Field(default=BINS, ge=2, le=1000)
    """Bins of confidence."""
    resamples: int = Field(default=1000, ge=200)
    """Bootstrap resamples, and draws of the null band."""
    fit_fraction: float = Field(default=0.5, gt=0, lt=1)
    """Share of the images that the temperature and the feature scale are fitted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """One value per image, in the order of the ids, so that the order of the images decides nothing."""

    order: np.ndarray
    """(n,) place of each image in the evidence."""
    labels: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray
    log_p_label: np.ndarray


def run(case: Case[CalibrationParameters]) -> Iterator[Finding]:
    """Yields every `calibration.*` key, and the data of the reliability, null band and scaling figures."""
    parameters, answers = case.parameters, _answers(case)
    recalibration = _recalibration(case, answers)
    confidence, correct, bins = answers.confidence, answers.correct, parameters.bins
    resampled = resample(
        {
            "width": equal_width(confidence, correct, bins=bins),
            "mass": equal_mass(confidence, correct, bins=bins),
            **partitions_of(recalibration, confidence, correct, bins=bins),
        },
        len(answers.order),
        resamples=parameters.resamples,
        generator=case.random("calibration.bootstrap"),
    )
    yield from _binned_errors(resampled["width"], resampled["mass"], bins)
    yield from _unbinned_errors(case, answers)
    yield reliability(resampled["width"], bins)
    yield from _null(case, resampled["width"])
    yield from recalibrated(recalibration, resampled, answers.log_p_label)
    if isinstance(recalibration, Recalibration):
        yield feature_scaling(recalibration)
        yield fit(recalibration, seed=case.seed, fraction=parameters.fit_fraction)


def _answers(case: Case[CalibrationParameters]) -> _Answers:
    order = np.argsort(np.array(case.evidence.ids))
    summary = case.evidence.summary
    return _Answers(
        order=order,
        labels=case.evidence.labels[order],
        confidence=summary.confidence[order],
        correct=summary.correct[order],
        log_p_label=summary.log_p_label[order],
    )


def _recalibration(case: Case[CalibrationParameters], answers: _Answers) -> Recalibration | Unavailable:
    seed = int(case.random("calibration.split").integers(2**32))
    chosen = split(answers.labels, case.parameters.fit_fraction, seed)
    if chosen is None:
        return Unavailable(reason=f"{len(answers.order)} images leave fewer than two to fit on or to report on")
    bias = case.evidence.bias
    return recalibrate(
        case.evidence.logits,
        case.evidence.labels,
        order=answers.order,
        fitting=chosen[0],
        held_out=chosen[1],
        bias=Unavailable(reason=f"no linear head: {case.classifier.card.head.reason}") if bias is None else bias,
        bins=case.parameters.bins,
    )


def _binned_errors(width: Resampled, mass: Resampled, bins: int) -> Iterator[Finding]:
    note = f"{bins} equal-width bins (a,b]"
    yield width.measure("calibration.ece", expected_error, note)
    yield mean(
        "calibration.signed_gap",
        width.bins.confidence - width.bins.correct,
        unit=Unit.FRACTION,
        better=Better.NEITHER,
        least=-1.0,
        most=1.0,
        note="mean confidence − accuracy; positive: over-confident",
    )
    yield width.measure("calibration.ece_over", over_part, f"{note} with confidence above accuracy")
    yield width.measure("calibration.ece_under", under_part, f"{note} with accuracy above confidence")
    yield width.measure("calibration.mce", maximum_error, f"worst of {bins} equal-width bins, however few its images")
    equal = f"{len(mass.bins.occupied)} equal-mass bins"
    yield mass.measure("calibration.ece_equal_mass", expected_error, equal)
    if (mass.observed.count >= 2).any():
        yield mass.measure_debiased("calibration.l2_debiased", f"{equal}; below 0 where chance explains all of it")
    else:
        yield Skipped(key="calibration.l2_debiased", reason="no bin holds two images")


def _unbinned_errors(case: Case[CalibrationParameters], answers: _Answers) -> Iterator[Finding]:
    yield mean("calibration.nll", -answers.log_p_label, unit=Unit.NATS, better=Better.LOWER)
    brier = case.evidence.summary.brier[answers.order]
    yield mean(
        "calibration.brier", brier, unit=Unit.RATIO, better=Better.LOWER, most=2.0, note="Σ over classes, 0 to 2"
    )
    n = len(answers.order)
    yield unresampled(
        "calibration.smooth_ece",
        smooth_error(answers.confidence, answers.correct),
        n,
        note="reflected Gaussian kernel as wide as the error itself",
    )
    summary, logits = case.evidence.summary, case.evidence.logits
    largest = logits[np.arange(n), summary.prediction].astype(np.float64)
    classwise = classwise_error(
        logits, case.evidence.labels, largest - np.log(summary.confidence), bins=case.parameters.bins
    )
    if classwise is None:
        yield Skipped(key="calibration.ece_classwise", reason="no probability exceeds chance, 1/K")
    else:
        yield unresampled(
            "calibration.ece_classwise",
            classwise.error,
            n,
            note=f"mean over {classwise.classes} classes, {classwise.pairs} probabilities above 1/K",
        )


def _null(case: Case[CalibrationParameters], width: Resampled) -> Iterator[Finding]:
    parameters = case.parameters
    errors = null_errors(width.bins, resamples=parameters.resamples, generator=case.random("calibration.null"))
    n, observed = len(width.bins.rows), float(expected_error(width.observed))
    yield Measurement(
        key="calibration.null_ece",
        value=float(errors.mean()),
        unit=Unit.FRACTION,
        better=Better.NEITHER,
        n=n,
        interval_reason=NOT_SAMPLED,
        note="mean ECE of a perfectly calibrated model with these confidences",
    )
    yield null_band(errors, observed=observed, images=n)
    limit = float(np.quantile(errors, 0.95))
    if observed <= limit:
        yield Notice(
            code="calibration-error-within-chance",
            message=f"an ECE of {observed:.4f} on {n} images is no more than a perfectly calibrated model shows "
            f"(95 % of its draws lie below {limit:.4f})",
        )


audit = Audit(
    question="Does its confidence mean what it says?",
    version=1,
    needs=frozenset(),
    declared=(
        *key_specs(
            Unit.FRACTION,
            Better.LOWER,
            Bounds.RESAMPLED,
            "calibration.ece",
            "calibration.ece_over",
            "calibration.ece_under",
            "calibration.ece_equal_mass",
            "calibration.l2_debiased",
            "calibration.mce",
        ),
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.ANY, "calibration.signed_gap"),
        *key_specs(Unit.FRACTION, Better.LOWER, Bounds.NONE, "calibration.ece_classwise", "calibration.smooth_ece"),
        *key_specs(Unit.NATS, Better.LOWER, Bounds.ANY, "calibration.nll"),
        *key_specs(Unit.RATIO, Better.LOWER, Bounds.ANY, "calibration.brier"),
        *key_specs(Unit.FRACTION, Better.NEITHER, Bounds.NONE, "calibration.null_ece"),
        *HELD_OUT,
    ),
    definitions=DEFINITIONS,
    parameters=CalibrationParameters,
    run=run,
)
