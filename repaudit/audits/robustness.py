"""How often does a small change of an image, made on purpose, change the answer?"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

from pydantic import Field as Parameter
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema, field_validator

from repaudit.attacks import Setting, presets, resolve
from repaudit.attacks.checks import preflight
from repaudit.attacks.harness import evaluate
from repaudit.attacks.pool import Subjects
from repaudit.audits import Audit, Offer
from repaudit.audits._robustness_features import minimum_loss_cosines, perturbation_findings, trend_findings
from repaudit.audits._robustness_verdicts import Field, shares, tally, union, verdict_findings
from repaudit.case import Case, Parameters
from repaudit.classifier import Capability
from repaudit.errors import InvalidProfile
from repaudit.finding import Better, Bounds, Finding, KeySpec, Skipped, Unit, key_specs
from repaudit.images import stratified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._robustness_features import Cosines

SHARES = ("asr", "robust_accuracy", "error_share")
RELATIONS = ("perturbation_rms", "perturbation_pearson", "cosine_spearman", "margin_spearman")
WORST = "worst"

AttackSetting = Annotated[
    Setting,
    PlainValidator(resolve),
    PlainSerializer(Setting.as_dict),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]


class RobustnessParameters(Parameters):
    """Which attacks, on how many images."""

    attacks: tuple[AttackSetting, ...] = Parameter(
        default_factory=lambda: (resolve("fgsm"), resolve("pgd_w")), min_length=1
    )
    """Presets by name, or mappings such as `{name: pgd, key: pgd_2, epsilon: 2/255, steps: 20, step_size: 0.5/255}`."""
    limit: int | None = Parameter(default=None, ge=1)
    """Images at most, in each class its share; initially wrong ones count among them. None takes all."""
    perturbation_limit: int = Parameter(default=256, ge=0)
    """Images whose attack runs to its last iterate although they are broken, for the features there."""

    @field_validator("attacks")
    @classmethod
    def _keys_differ(cls, attacks: tuple[Setting, ...]) -> tuple[Setting, ...]:
        twice = [key for key, count in Counter(setting.key for setting in attacks).items() if count > 1]
        if twice:
            raise InvalidProfile(
                f"two attacks have the key `{twice[0]}`",
                detail="Figures of the two could not be told apart.",
                remedy=f"key: {twice[0]}_2 in one of them",
            )
        return attacks


def run(case: Case[RobustnessParameters]) -> Iterator[Finding]:
    """Yields shares, trends, figures and columns of each attack, and the union of all as `robustness.worst.*`."""
    parameters = case.parameters
    field = _field(case)
    ids = tuple(case.evidence.ids[row] for row in field.rows)
    found = preflight(case.classifier, case.images, ids, case.shape)
    yield from found.remarks
    if found.faults:
        yield from found.faults
        for key in [*(setting.key for setting in parameters.attacks), WORST]:
            yield from _skipped(key, found.faults[0].message)
        return
    gradients = found.gradients and Capability.GRADIENTS in case.classifier.capabilities
    no_head = case.classifier.card.head.reason or "the model has no linear head"
    cosines = minimum_loss_cosines(case.evidence, field.correct, no_head)
    outcomes = {}
    for setting in parameters.attacks:
        if setting.gradients and not gradients:
            yield from _skipped(setting.key, "the model gives no gradients")
            continue
        evaluation = _attack(case, field, setting)
        outcomes[setting.key] = evaluation.outcome
        yield from verdict_findings(evaluation, field)
        yield from _relations(case, field, evaluation, cosines)
    if outcomes:
        together = union(list(outcomes.values()))
        yield from shares(WORST, tally(together, len(field.rows)), f"broken by any of {', '.join(outcomes)}")
    else:
        yield from _skipped(WORST, "no attack could run")


def _field(case: Case[RobustnessParameters]) -> Field:
    n = len(case.evidence)
    limit = n if case.parameters.limit is None else case.parameters.limit
    rows = stratified(case.evidence.labels, limit, case.seed)
    return Field(n, rows, rows[case.evidence.summary.correct[rows]])


def _attack(case: Case[RobustnessParameters], field: Field, setting: Setting) -> Evaluation:
    evidence, correct = case.evidence, field.correct
    ids = tuple(evidence.ids[row] for row in correct)
    # the same images for every attack, so that their perturbations can be compared
    order = case.random("robustness.perturbation").permutation(len(ids))
    kept = order[: case.parameters.perturbation_limit] if evidence.features is not None else order[:0]
    return evaluate(
        case.classifier,
        case.images,
        Subjects(ids=ids, labels=evidence.labels[correct], logits=evidence.logits[correct]),
        setting,
        seed=case.seed,
        shape=case.shape,
        progress=case.progress,
        kept={ids[position] for position in kept},
    )


def _relations(
    case: Case[RobustnessParameters], field: Field, evaluation: Evaluation, cosines: Cosines
) -> Iterator[Finding]:
    margins = case.evidence.summary.margin[field.correct]
    yield from trend_findings(evaluation, cosines, margins)
    if case.evidence.features is None:
        reason = case.classifier.card.head.reason or "the model has no linear head"
    elif case.parameters.perturbation_limit == 0:
        reason = "perturbation_limit is 0"
    else:
        reason = "no initially correct image ran to the end of the attack"
    yield from perturbation_findings(evaluation, case.evidence, field.correct, reason)


def _skipped(key: str, reason: str) -> Iterator[Skipped]:
    for name in SHARES if key == WORST else (*SHARES, *RELATIONS):
        yield Skipped(key=f"robustness.{key}.{name}", reason=reason)


def _specs(key: str) -> tuple[KeySpec, ...]:
    """What is yielded of one attack, or of `worst`."""
    rms, *correlations = (f"robustness.{key}.{name}" for name in RELATIONS)
    shares = (
        *key_specs(Unit.FRACTION, Better.LOWER, Bounds.ANY, f"robustness.{key}.asr", f"robustness.{key}.error_share"),
        *key_specs(Unit.FRACTION, Better.HIGHER, Bounds.ANY, f"robustness.{key}.robust_accuracy"),
    )
    if key == WORST:
        return shares
    return (
        *shares,
        *key_specs(Unit.SCALE, Better.NEITHER, Bounds.ANY, rms),
        *key_specs(Unit.CORRELATION, Better.NEITHER, Bounds.ANY, *correlations),
    )


def _offer(parameters: RobustnessParameters) -> Offer:
    """The keys of the attacks that are asked for; every other preset by the list that would hold it too."""
    asked = [setting.key for setting in parameters.attacks]
    others = [preset for preset in presets() if preset not in asked]
    written = ", ".join(_as_written(setting) for setting in parameters.attacks)
    return Offer(
        declared=tuple(spec for key in (*asked, WORST) for spec in _specs(key)),
        elsewhere={
            spec.pattern: f"--set 'robustness.attacks=[{written}, {preset}]'"
            for preset in others
            for spec in _specs(preset)
        },
    )


def _as_written(setting: Setting) -> str:
    """A preset's name, or the mapping that says the same."""
    if setting.key in presets() and resolve(setting.key) == setting:
        return setting.key
    return json.dumps(setting.as_dict())


audit = Audit(
    question="How often does a small change made on purpose change its answer?",
    version=1,
    needs=frozenset(),
    declared=_specs("*"),
    parameters=RobustnessParameters,
    run=run,
    offer=_offer,
)
