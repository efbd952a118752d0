"""The attacks whose verdicts the battery compares with one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks import Setting, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.journal import journal_of
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._masking_check import first_job

if TYPE_CHECKING:
    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._masking_parameters import MaskingParameters
    from repaudit.case import Case, Storage

HALF = 0.5
"""The radius within which every image can become the same grey one."""
HALF_STEPS = 100
_PURPOSES = {
    "iterated": "PGD",
    "one_step": "one step",
    "black_box": "Square",
    "noise": "random search",
    "adaptive": "APGD",
    "half": "PGD at radius 1/2",
}
"""By key; the others are PGD at another radius."""
MULTIPLES = (0.5, 2.0, 4.0)
"""Other radii, in units of the battery's, that success must rise with."""


@dataclass(frozen=True, slots=True)
class Searches:
    """What each attack did to the same initially correct images."""

    subjects: Subjects
    iterated: Evaluation
    """PGD with restarts, the attack whose gradients are in question."""
    one_step: Evaluation
    black_box: np.ndarray
    """(n,) outcome codes of Square; where it breaks nothing that PGD left, what PGD broke counts as robust to it,
    because no comparison depends on that."""
    noise: Evaluation
    adaptive: Evaluation
    """APGD on the difference-of-logits ratio, which rounding does not flatten where the network is sure."""
    radii: tuple[tuple[float, Evaluation], ...]
    """PGD without restarts, radius by radius, rising; the battery's own is not among them."""
    half: Evaluation
    """PGD at a radius of one half."""


def iterated(epsilon: float, steps: int, *, restarts: int = 1, key: str = "iterated") -> Setting:
    """PGD from a uniform start, with steps of a quarter of the radius."""
    return resolve(
        {
            "name": "pgd",
            "key": key,
            "epsilon": epsilon,
            "steps": steps,
            "step_size": epsilon / 4,
            "restarts": restarts,
        }
    )


def search(case: Case[MaskingParameters], subjects: Subjects) -> Searches:
    """Runs them all."""
    asked = case.parameters
    epsilon = asked.epsilon

    def attack(setting: Setting) -> Evaluation:
        return run(case, subjects, setting)

    radii = [epsilon * multiple for multiple in MULTIPLES if epsilon * multiple < HALF]
    pgd = attack(iterated(epsilon, asked.steps, restarts=asked.restarts))
    return Searches(
        subjects=subjects,
        iterated=pgd,
        one_step=attack(resolve({"name": "fgsm", "key": "one_step", "epsilon": epsilon})),
        black_box=_black_box(case, subjects, first_job(pgd) == CODES[Outcome.BROKEN]),
        noise=attack(noise(epsilon, asked.steps + 1)),
        adaptive=attack(resolve({"name": "apgd_dlr", "key": "adaptive", "epsilon": epsilon, "steps": asked.steps})),
        radii=tuple(
            (radius, attack(iterated(radius, asked.steps, key=f"radius_{number}")))
            for number, radius in enumerate(radii)
        ),
        half=attack(iterated(HALF, HALF_STEPS, key="half")),
    )


def _black_box(case: Case[MaskingParameters], subjects: Subjects, broken: np.ndarray) -> np.ndarray:
    """Square on what PGD left, and on the rest only where it broke some of that: it is the dearest of all."""
    asked = case.parameters
    setting = resolve({"name": "square", "key": "black_box", "epsilon": asked.epsilon, "queries": asked.queries})
    outcome = np.full(len(broken), CODES[Outcome.ROBUST], dtype=np.int8)
    for rows in (np.flatnonzero(~broken), np.flatnonzero(broken)):
        part = Subjects(
            ids=tuple(subjects.ids[row] for row in rows), labels=subjects.labels[rows], logits=subjects.logits[rows]
        )
        outcome[rows] = run(case, part, setting).outcome
        if not (outcome == CODES[Outcome.BROKEN]).any():
            break
    return outcome


def noise(epsilon: float, queries: int) -> Setting:
    """Random search."""
    return resolve({"name": "random_noise", "key": "noise", "epsilon": epsilon, "queries": queries})


def run(
    case: Case[MaskingParameters], subjects: Subjects, setting: Setting, *, storage: Storage | None = None
) -> Evaluation:
    """One attack on the case's own classifier.

    Args:
        case: of the audit.
        subjects: the images.
        setting: the attack.
        storage: where its journal lies, the case's unless given; an attack that depends on more than its setting has
            none.
    """
    kept = case.storage if storage is None else storage
    with journal_of(kept, setting, seed=case.seed, progress=case.progress) as journal:
        return evaluate(
            case.classifier,
            case.images,
            subjects,
            setting,
            seed=case.seed,
            shape=case.shape,
            progress=case.progress,
            journal=journal,
            purpose=purpose(setting),
        )


def purpose(setting: Setting) -> str:
    """What progress calls one of the battery's attacks."""
    known = _PURPOSES.get(setting.key, f"PGD at radius {setting.threat.epsilon * 255:.3g}/255")
    return f"gradient masking: {known}"
