"""Where an attack breaks every image or none: the same attack at a radius that tells images apart."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.threat import TOLERANCE, Norm
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._robustness_relations import p_value, success_by_cosine
from repaudit.audits._robustness_verdicts import SATURATED, Tally, describe, tally
from repaudit.finding import NOT_NEEDED, Better, Figure, FigureValue, Finding, Measurement, Skipped, Unit
from repaudit.metrics.alignment import spearman

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from repaudit.attacks import Setting
    from repaudit.attacks.verdict import Evaluation
    from repaudit.case import Case, P

LOWEST, HIGHEST = 0.3, 0.8
"""Attack success between these tells images apart."""
EVALUATIONS = 8
"""Radii tried at most."""
LEAST = 100 * TOLERANCE
"""Smallest radius tried: below it the tolerance of a success is no longer small."""
MOST = {Norm.LINF: 1.0, Norm.L2: math.inf}


@dataclass(frozen=True, slots=True)
class Watched:
    """The images of the search, with what success is set against."""

    rows: np.ndarray
    """(k,) of the evidence, rising: initially correct images."""
    predictors: Mapping[str, np.ndarray]
    """(k,) each, NaN where an image has none: `margin`, and where there are `cosine` and `linear_distance`."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One radius that was tried."""

    evaluation: Evaluation

    @property
    def epsilon(self) -> float:
        """The radius."""
        return self.evaluation.setting.threat.epsilon

    @property
    def asr(self) -> float | None:
        """Share of judged images that broke; None where every one ended in an error."""
        counted = tally(self.evaluation.outcome, len(self.evaluation))
        return counted.broken / counted.judged if counted.judged else None


class Bracket:
    """Narrows down a radius on the log scale: gallops until success is too rare and too common once each, then halves.

    A first guess, where there is one, is tried before anything else.
    """

    def __init__(self, norm: Norm, epsilon: float, *, too_large: bool, guess: float | None) -> None:
        """Knows that `epsilon` breaks too many images, or too few."""
        self._limits = (LEAST, MOST[norm])
        self._low, self._high = (0.0, epsilon) if too_large else (epsilon, math.inf)
        self._too_large, self._moves = too_large, 1
        usable = guess is not None and max(self._low, LEAST) < guess < min(self._high, MOST[norm])
        self._guess = guess if usable else None

    def narrow(self, epsilon: float, *, too_large: bool) -> None:
        """Takes what a trial showed."""
        self._moves = self._moves + 1 if too_large is self._too_large else 1
        self._too_large = too_large
        if too_large:
            self._high = epsilon
        else:
            self._low = epsilon

    def next(self) -> float | None:
        """The radius to try; None where the limits were reached."""
        if self._guess is not None:
            guess, self._guess, self._moves = self._guess, None, 0
            return guess
        between = self._low > 0 and self._high < math.inf
        middle = math.sqrt(self._low * self._high) if between else None
        stride = 2.0**self._moves
        if self._too_large:
            trial = max(self._high / stride, middle or self._limits[0])
            return trial if trial < self._high else None
        trial = min(self._low * stride, middle or self._limits[1])
        return trial if trial > self._low else None


def telling_findings(case: Case[P], evaluation: Evaluation, watched: Watched) -> Iterator[Finding]:
    """`robustness.<key>.telling_epsilon` and the figure `robustness.<key>.telling`, where the attack is saturated.

    The search runs the attack, of a protocol its first member, with step sizes in proportion to the radius, on the
    watched images alone; the trial that ends it is what the figure shows.

    Args:
        case: what the attack was run on.
        evaluation: of the attack as the profile asked for it.
        watched: the images to search with.
    """
    key = f"robustness.{evaluation.setting.key}.telling_epsilon"
    counted = tally(evaluation.outcome, len(evaluation))
    reason = _not_searched(evaluation, counted, len(watched.rows))
    if reason is not None:
        yield Skipped(key=key, reason=reason)
        return
    trials = _search(case, evaluation, watched, too_large=counted.broken > SATURATED * counted.judged)
    found = trials[-1] if trials else None
    asr = None if found is None else found.asr
    if found is None or asr is None or not _tells(asr):
        yield Skipped(key=key, reason=_not_found(trials))
        return
    setting = found.evaluation.setting
    judged = int((found.evaluation.outcome != CODES[Outcome.ERROR]).sum())
    attack = evaluation.members[0]
    alone = f" under {attack} alone" if len(evaluation.members) > 1 else ""
    yield Measurement(
        key=key,
        value=found.epsilon,
        unit=Unit.SCALE,
        better=Better.NEITHER,
        n=judged,
        interval_reason="the end of a search, not an estimate",
        note=f"radius at which {asr:.0%} of these images break{alone}; {describe(setting)}",
    )
    yield Figure(
        key=f"robustness.{evaluation.setting.key}.telling",
        data=_data(attack, found, asr, trials, watched),
    )


def scaled(setting: Setting, epsilon: float) -> Setting:
    """The setting's first member at another radius; every `step_size` keeps its proportion to the radius."""
    ratio = epsilon / setting.threat.epsilon
    raw = {**setting.as_dict(), "key": f"{setting.key}-telling", "epsilon": epsilon}
    raw.pop("series", None)  # a search is no part of a list of radii
    step, parts = raw.get("step_size"), raw.get("attacks")
    if isinstance(step, float):
        raw["step_size"] = step * ratio
    if isinstance(parts, list):
        raw["attacks"] = [_scaled_part(part, setting, ratio) for part in parts]
    moved = resolve(raw)
    return dataclasses.replace(moved, members=lambda: moved.members()[:1])


def _scaled_part(part: str | Mapping[str, object], whole: Setting, ratio: float) -> dict[str, object]:
    """One attack of a protocol that lists its own, as `resolve` takes it, without norm and radius."""
    entry: dict[str, object] = {"name": part} if isinstance(part, str) else dict(part)
    norm, epsilon = whole.threat.norm.value, whole.threat.epsilon
    step = resolve({**entry, "norm": norm, "epsilon": epsilon}).as_dict().get("step_size")
    return {**entry, "step_size": step * ratio} if isinstance(step, float) else entry


def _not_searched(evaluation: Evaluation, counted: Tally, watched: int) -> str | None:
    """Why there is no search; None where there is one."""
    if not counted.judged:
        return "no attacked image came out robust or broken"
    if not counted.saturated:
        return f"{NOT_NEEDED}: the attack is not saturated ({counted.broken} of {counted.judged} images broken)"
    if evaluation.setting.votes > 1:
        return "not searched: an attack that decides by votes costs too much for it"
    return f"{watched} images are too few to search with (perturbation_limit)" if watched < 2 else None


def _search(case: Case[P], evaluation: Evaluation, watched: Watched, *, too_large: bool) -> list[Trial]:
    """Trials in their order; the last one tells images apart unless none does."""
    evidence, rows = case.evidence, watched.rows
    subjects = Subjects(
        ids=tuple(evidence.ids[row] for row in rows), labels=evidence.labels[rows], logits=evidence.logits[rows]
    )
    threat = evaluation.setting.threat
    bracket = Bracket(threat.norm, threat.epsilon, too_large=too_large, guess=_guess(watched))
    trials: list[Trial] = []
    while len(trials) < EVALUATIONS:
        epsilon = bracket.next()
        if epsilon is None:
            break
        setting = scaled(evaluation.setting, epsilon)
        found = evaluate(
            case.classifier,
            case.images,
            subjects,
            setting,
            seed=case.seed,
            shape=case.shape,
            progress=case.progress,
            purpose=f"telling radius of {evaluation.setting.key}: {epsilon:.3g} tried",
        )
        trials.append(Trial(found))
        asr = trials[-1].asr
        if asr is None or _tells(asr):
            break
        bracket.narrow(epsilon, too_large=asr > HIGHEST)
    return trials


def _guess(watched: Watched) -> float | None:
    """Half of the images lie nearer than this to the boundary, were the network linear."""
    distances = watched.predictors.get("linear_distance")
    finite = np.array([]) if distances is None else distances[np.isfinite(distances)]
    return float(np.median(finite)) if len(finite) else None


def _tells(asr: float) -> bool:
    return LOWEST <= asr <= HIGHEST


def _not_found(trials: list[Trial]) -> str:
    shares = [trial.asr for trial in trials]
    if any(share is None for share in shares):
        return f"every image ended in an error at epsilon {trials[-1].epsilon:.4g}"
    told = ", ".join(f"{share:.2f} at {trial.epsilon:.3g}" for share, trial in zip(shares, trials, strict=True))
    return f"no radius with attack success in {LOWEST}–{HIGHEST} was found; success {told or 'not tried'}"


def _data(attack: str, found: Trial, asr: float, trials: list[Trial], watched: Watched) -> dict[str, FigureValue]:
    outcome = found.evaluation.outcome
    judged = outcome != CODES[Outcome.ERROR]
    success = (outcome == CODES[Outcome.BROKEN]).astype(np.float64)
    relations: dict[str, FigureValue] = {}
    by_cosine: FigureValue = None
    for name, values in watched.predictors.items():
        usable = judged & np.isfinite(values)
        rank = spearman(success[usable], values[usable])
        n = int(usable.sum())
        relations[name] = {"spearman": rank, "p": p_value(rank, n), "n": n}
        if name == "cosine" and n:
            by_cosine = success_by_cosine(values[usable], success[usable])
    return {
        "attack": attack,
        "norm": found.evaluation.setting.threat.norm,
        "epsilon": found.epsilon,
        "asr": asr,
        "n": int(judged.sum()),
        "by_cosine": by_cosine,
        "success": relations,
        "searched": [[trial.epsilon, trial.asr] for trial in trials],
    }
