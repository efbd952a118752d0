"""Is it robust, or do its gradients only hide what would break it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.checks import preflight
from repaudit.attacks.pgd import PgdOptions
from repaudit.attacks.threat import Norm, Threat
from repaudit.audits import Audit
from repaudit.audits._masking_check import Check, Excess, findings, first_job, proportion
from repaudit.audits._masking_definitions import DEFINITIONS
from repaudit.audits._masking_gradient import DIRECTIONS, gradient_agreement
from repaudit.audits._masking_numbered import fits
from repaudit.audits._masking_parameters import MaskingParameters
from repaudit.audits._masking_planted import LARGEST, planted
from repaudit.audits._masking_searches import run as attack
from repaudit.audits._masking_searches import search
from repaudit.audits._masking_verdicts import gap_check, search_checks
from repaudit.audits._subjects import field_of, subjects_of
from repaudit.audits._surrogate import along, load_surrogate
from repaudit.case import Storage
from repaudit.classifier import Capability
from repaudit.finding import NOT_RESAMPLED, Better, Bounds, Finding, Unit, key_specs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks.intake import Subjects
    from repaudit.audits._masking_searches import Searches
    from repaudit.case import Case, Permissions
    from repaudit.classifier import Classifier

SHARES = (
    "black_box_gap",
    "one_step_gap",
    "non_monotone",
    "survivors_half",
    "noise_ratio",
    "restart_gain",
    "loss_stalled",
    "planted_missed",
    "transfer_gap",
)
COUNTS = ("zero_gradient", "nonfinite_gradient")
COSINE = "gradient_cosine"


def run(case: Case[MaskingParameters]) -> Iterator[Finding]:
    """Yields twelve checks as metrics, a notice for each that fails, and all as the figure `masking.battery`."""
    field = field_of(case, case.parameters.limit)
    found = preflight(case.classifier, case.images, tuple(case.evidence.ids[row] for row in field.rows), case.shape)
    yield from found.remarks
    yield from found.faults
    subjects = subjects_of(case, field.correct)
    if found.faults:
        yield from _nothing(case, found.faults[0].message)
    elif not found.gradients or Capability.GRADIENTS not in case.classifier.capabilities:
        yield from _nothing(case, "the model gives no gradients")
    elif not subjects.ids:
        yield from _nothing(case, "no image is classified correctly")
    else:
        yield from findings(list(_checks(case, subjects)))


def _checks(case: Case[MaskingParameters], subjects: Subjects) -> Iterator[Check]:
    searches = search(case, subjects)
    yield from search_checks(searches, case.parameters, case.classifier.card.classes_count)
    yield _gradient_cosine(case, subjects)
    yield _planted_missed(case, subjects)
    yield _transfer_gap(case, searches)


def _gradient_cosine(case: Case[MaskingParameters], subjects: Subjects) -> Check:
    threshold = case.parameters.min_gradient_cosine
    cosines = gradient_agreement(case, subjects)
    cosines = cosines[np.isfinite(cosines)]
    if not len(cosines):
        reason = "neither gradients nor differences, or no finite logits, on any image"
        return Check(name=COSINE, threshold=threshold, sentence=reason)
    median = float(np.median(cosines))
    failed = median < threshold
    return Check(
        name=COSINE,
        threshold=threshold,
        sentence=f"Gradients agree with finite differences by a median cosine of {median:.3f}"
        + (": they are not the slope that the network has" if failed else ""),
        value=median,
        failed=failed,
        n=len(cosines),
        unit=Unit.COSINE,
        better=Better.HIGHER,
        interval_reason=NOT_RESAMPLED,
        note=f"median over images, {DIRECTIONS} directions, step 0.5/255; fails below {threshold:g}",
    )


def _planted_missed(case: Case[MaskingParameters], subjects: Subjects) -> Check:
    name, threshold = "planted_missed", case.parameters.max_planted_missed
    reason = _unplantable(case, subjects)
    if reason is not None:
        return Check(name=name, threshold=threshold, sentence=reason)
    search = planted(case, subjects)
    hard = ~search.chance
    n = int(hard.sum())
    if not n:
        reason = "no adversarial could be planted that random search does not find"
        return Check(name=name, threshold=threshold, sentence=reason)
    missed = int((hard & ~search.found).sum())
    excess = Excess(missed, n, threshold, case.parameters.significance)
    return proportion(
        name,
        missed,
        n,
        threshold=threshold,
        failed=excess.failed,
        sentence=f"PGD missed {missed} of {n} planted adversarials"
        + (": where it finds nothing there may be something" if excess.failed else ""),
        note=f"planted on {len(hard)} of {search.n} images, {len(hard) - n} of them found by chance; {excess.rule}",
    )


def _unplantable(case: Case[MaskingParameters], subjects: Subjects) -> str | None:
    if case.classifier.split is None:
        return case.classifier.card.head.reason or "the model has no linear head"
    if case.parameters.epsilon > LARGEST:
        return f"at a radius above {LARGEST:g} nothing can be planted"
    pixels = next(iter(case.images.batches(case.shape.rows, subjects.ids[:1]))).stored[0, 0].numel()
    return None if fits(len(subjects.ids), pixels) else f"{pixels} pixels are too few to number the images in"


def _transfer_gap(case: Case[MaskingParameters], searches: Searches) -> Check:
    asked = case.parameters
    surrogate = load_surrogate("masking", asked, case.classifier, case.permissions)
    if surrogate is None:
        return Check(name="transfer_gap", threshold=asked.max_gap, sentence="no surrogate given")
    options = PgdOptions(steps=asked.steps, step_size=asked.epsilon / 4)
    setting = along(surrogate, Threat(Norm.LINF, asked.epsilon), options, case.shape.rows)
    outcome = attack(case, searches.subjects, setting, storage=Storage()).outcome
    challenger = f"the gradient of {asked.surrogate}"
    return gap_check("transfer_gap", challenger, outcome, first_job(searches.iterated), asked)


def _check(asked: MaskingParameters, classifier: Classifier, permissions: Permissions) -> None:
    load_surrogate("masking", asked, classifier, permissions)


def _nothing(case: Case[MaskingParameters], reason: str) -> Iterator[Finding]:
    """No check could be made."""
    thresholds = case.parameters.thresholds(case.classifier.card.classes_count)
    yield from findings(
        [Check(name=name, threshold=threshold, sentence=reason) for name, threshold in thresholds.items()]
    )


audit = Audit(
    question="Is it robust, or do its gradients hide what would break it?",
    version=1,
    needs=frozenset(),
    declared=(
        *key_specs(Unit.FRACTION, Better.LOWER, Bounds.ANY, *(f"masking.{name}" for name in SHARES)),
        *key_specs(Unit.FRACTION, Better.LOWER, Bounds.NONE, *(f"masking.{name}" for name in COUNTS)),
        *key_specs(Unit.COSINE, Better.HIGHER, Bounds.NONE, f"masking.{COSINE}"),
    ),
    definitions=DEFINITIONS,
    parameters=MaskingParameters,
    run=run,
    check=_check,
)
