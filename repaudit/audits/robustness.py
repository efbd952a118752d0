"""How often does a small change of an image, made on purpose, change the answer?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema, field_validator
from pydantic import Field as Parameter

from repaudit.attacks import Setting, presets, resolve, resolve_list
from repaudit.attacks.checks import preflight
from repaudit.attacks.threat import parse_length
from repaudit.audits import Audit, Offer
from repaudit.audits._robustness_analyses import Analyses, relation_specs, relations_skipped
from repaudit.audits._robustness_attack import Engine
from repaudit.audits._robustness_definitions import DEFINITIONS
from repaudit.audits._robustness_mechanism import SPECS as MECHANISM_SPECS
from repaudit.audits._robustness_mechanism import mechanism_skipped
from repaudit.audits._robustness_run import Attacked, attacked
from repaudit.audits._robustness_verdicts import shares, shares_skipped, tally, union, verdict_findings
from repaudit.audits._robustness_virtual import fitting_head, part_keys, read_head
from repaudit.audits._subjects import field_of
from repaudit.case import Case, Parameters
from repaudit.classifier import Capability
from repaudit.errors import InvalidProfile
from repaudit.finding import Better, Bounds, Finding, KeySpec, Unit, key_specs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from repaudit.audits._subjects import Field
    from repaudit.case import Permissions
    from repaudit.classifier import Classifier
    from repaudit.finding import Notice

WORST = "worst"
NO_GRADIENTS = (
    "the model gives no gradients; what needs none is the attack square and, along a surrogate's gradients, the audit "
    "transfer (--set transfer.surrogate=MODEL)"
)


def _listed(raw: object) -> object:
    """Entries with a list of radii become one setting a radius."""
    if not isinstance(raw, list | tuple):
        return raw
    return tuple(
        setting for entry in raw for setting in ((entry,) if isinstance(entry, Setting) else resolve_list(entry))
    )


AttackSetting = Annotated[
    Setting,
    PlainValidator(lambda raw: raw if isinstance(raw, Setting) else resolve(raw)),
    PlainSerializer(Setting.as_dict),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]


class RobustnessParameters(Parameters):
    """Which attacks, on how many images."""

    attacks: Annotated[tuple[AttackSetting, ...], BeforeValidator(_listed)] = Parameter(
        default_factory=lambda: (resolve("fgsm"), resolve("pgd_w")), min_length=1
    )
    """Presets by name, or mappings such as `{name: pgd, key: pgd_2, epsilon: 2/255, steps: 20, step_size: 0.5/255}`.
    With `epsilon: [1/255, 2/255]` what one radius breaks is broken at the larger ones."""
    limit: int | None = Parameter(default=None, ge=1)
    """Images at most, in each class its share; initially wrong ones count among them. None takes all."""
    perturbation_limit: int = Parameter(default=256, ge=0)
    """Images whose features are followed under attack: a single attack on them runs to its last iterate although they
    are broken. Also how many the mechanism and a search for a telling radius use."""
    mechanism_epsilon: Annotated[float, BeforeValidator(parse_length), Parameter(le=1)] = 0.4 / 255
    """The smaller of the two radii, `linf`, at which one step's effect on features is looked at."""
    eight_bit: bool = True
    """Asks the network about every adversarial once more, rounded to 8 bits."""
    engine: Engine = Engine.POOL
    """`reference` has AutoAttack run by its published implementation."""
    virtual_head: str | None = None
    """The `vs_head.safetensors` of a training run, or any safetensors file with `weight` (V, d) and `bias` (V,) of the
    virtual classes the model was trained with."""

    @field_validator("virtual_head")
    @classmethod
    def _head_can_be_read(cls, path: str | None) -> str | None:
        if path is not None:
            read_head(Path(path))
        return path

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
    field = field_of(case, parameters.limit)
    found = preflight(case.classifier, case.images, tuple(case.evidence.ids[row] for row in field.rows), case.shape)
    yield from found.remarks
    gradients = found.gradients and Capability.GRADIENTS in case.classifier.capabilities
    analyses = Analyses(
        case,
        field,
        limit=parameters.perturbation_limit,
        small=parameters.mechanism_epsilon,
        gradients=gradients and not found.faults,
    )
    outcomes: dict[str, np.ndarray] = {}
    yield from found.faults
    for setting in parameters.attacks:
        reason = _obstacle(setting, gradients, found.faults)
        if reason is not None:
            yield from _skipped(setting, reason, parameters)
            continue
    for each in attacked(case, field, analyses.kept, _possible(parameters, gradients, found.faults), analyses.witness):
        outcomes[each.evaluation.setting.key] = each.evaluation.outcome
        yield from _findings(each, field, analyses)
    yield from mechanism_skipped(found.faults[0].message) if found.faults else analyses.mechanism()
    yield from _worst(outcomes, field, found.faults)


def _check(parameters: RobustnessParameters, classifier: Classifier, _: Permissions) -> None:
    if parameters.virtual_head is not None:
        fitting_head(Path(parameters.virtual_head), classifier)


def _findings(each: Attacked, field: Field, analyses: Analyses[RobustnessParameters]) -> Iterator[Finding]:
    yield from verdict_findings(each.evaluation, field)
    for part in each.parts:
        yield from shares(part.key, tally(part.outcome, len(field.rows)), part.note)
    yield from analyses.findings(each.evaluation, each.witness)


def _worst(outcomes: Mapping[str, np.ndarray], field: Field, faults: tuple[Notice, ...]) -> Iterator[Finding]:
    if outcomes:
        together = union(list(outcomes.values()))
        yield from shares(WORST, tally(together, len(field.rows)), f"broken by any of {', '.join(outcomes)}")
    else:
        yield from shares_skipped(WORST, faults[0].message if faults else "no attack could run")


def _possible(parameters: RobustnessParameters, gradients: bool, faults: tuple[Notice, ...]) -> tuple[Setting, ...]:
    return tuple(setting for setting in parameters.attacks if _obstacle(setting, gradients, faults) is None)


def _obstacle(setting: Setting, gradients: bool, faults: tuple[Notice, ...]) -> str | None:
    """Why an attack cannot run; None where it can. An attack that decides by votes takes random networks."""
    unbearable = [fault for fault in faults if setting.votes == 1 or fault.code != "random-network"]
    if unbearable:
        return unbearable[0].message
    return NO_GRADIENTS if setting.gradients and not gradients else None


def _skipped(setting: Setting, reason: str, parameters: RobustnessParameters) -> Iterator[Finding]:
    yield from shares_skipped(setting.key, reason)
    yield from relations_skipped(setting.key, reason)
    for key in part_keys(setting, parameters.virtual_head):
        yield from shares_skipped(key, reason)


def _share_specs(key: str) -> tuple[KeySpec, ...]:
    return (
        *key_specs(Unit.FRACTION, Better.LOWER, Bounds.ANY, f"robustness.{key}.asr", f"robustness.{key}.error_share"),
        *key_specs(Unit.FRACTION, Better.HIGHER, Bounds.ANY, f"robustness.{key}.robust_accuracy"),
    )


def _specs(key: str) -> tuple[KeySpec, ...]:
    """What is yielded of one attack."""
    return (*_share_specs(key), *relation_specs(key))


def _offer(parameters: RobustnessParameters) -> Offer:
    """The keys of the attacks that are asked for; every other preset by the list that would hold it too."""
    asked = [setting.key for setting in parameters.attacks]
    parts = [key for setting in parameters.attacks for key in part_keys(setting, parameters.virtual_head)]
    others = [preset for preset in presets() if preset not in asked]
    written = ", ".join(_as_written(setting) for setting in parameters.attacks)
    return Offer(
        declared=(
            *(spec for key in asked for spec in _specs(key)),
            *(spec for key in (*parts, WORST) for spec in _share_specs(key)),
            *MECHANISM_SPECS,
        ),
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
    version=2,
    needs=frozenset(),
    declared=(*_specs("*"), *MECHANISM_SPECS),
    definitions=DEFINITIONS,
    parameters=RobustnessParameters,
    run=run,
    offer=_offer,
    check=_check,
)
