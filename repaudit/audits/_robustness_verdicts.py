"""From verdicts to shares with their intervals, to per-image columns and to what a reader must know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.threat import Norm, rounded_fraction
from repaudit.attacks.verdict import CODES, NOT_ATTACKED, Evaluation, Outcome
from repaudit.finding import Better, Column, Figure, FigureValue, Finding, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.attacks import Setting
    from repaudit.audits._subjects import Field

SATURATED = 0.95
"""Attack success above this, or below its complement, says little about the order of models or images."""
SHARES = ("asr", "robust_accuracy", "error_share")
MARGINAL_LISTED = 100
NO_VERDICT = "non-finite logits; of all"
COVERS = "interval covers sampling only, not attack weakness"


@dataclass(frozen=True, slots=True)
class Tally:
    """How n images came out; the rest of n was initially wrong."""

    n: int
    attacked: int
    broken: int
    error: int

    @property
    def robust(self) -> int:
        """Attacked images that neither broke nor ended in an error."""
        return self.attacked - self.broken - self.error

    @property
    def judged(self) -> int:
        """Attacked images with a verdict: what attack success is a share of."""
        return self.attacked - self.error

    @property
    def saturated(self) -> bool:
        """Attack success is above .95 or below .05."""
        return saturated(self.broken, self.judged)


def saturated(broken: int, judged: int) -> bool:
    """Whether an attack succeeds on more than 95 % or on less than 5 % of the judged images."""
    return judged > 0 and max(broken, judged - broken) / judged > SATURATED


def tally(outcome: np.ndarray, n: int) -> Tally:
    """Counts the outcome codes of the attacked images among n."""
    return Tally(
        n,
        len(outcome),
        broken=int((outcome == CODES[Outcome.BROKEN]).sum()),
        error=int((outcome == CODES[Outcome.ERROR]).sum()),
    )


def union(outcomes: Sequence[np.ndarray]) -> np.ndarray:
    """The verdict of several attacks together: broken where any broke it, else an error where any ended in one."""
    together = np.stack(outcomes)
    broken = (together == CODES[Outcome.BROKEN]).any(axis=0)
    error = (together == CODES[Outcome.ERROR]).any(axis=0)
    return np.select([broken, error], [CODES[Outcome.BROKEN], CODES[Outcome.ERROR]], CODES[Outcome.ROBUST]).astype(
        np.int8
    )


def shares(key: str, counted: Tally, note: str) -> Iterator[Measurement | Skipped]:
    """`robustness.<key>.{asr,robust_accuracy,error_share}` with Wilson intervals."""
    note = f"{note}; {COVERS}"
    if counted.judged:
        yield share(
            f"robustness.{key}.asr", counted.broken, counted.judged, Better.LOWER, f"of initially correct; {note}"
        )
    else:
        reason = (
            "no image is classified correctly" if not counted.attacked else "every attacked image ended in an error"
        )
        yield Skipped(key=f"robustness.{key}.asr", reason=reason)
    yield share(f"robustness.{key}.robust_accuracy", counted.robust, counted.n, Better.HIGHER, f"of all; {note}")
    yield share(f"robustness.{key}.error_share", counted.error, counted.n, Better.LOWER, NO_VERDICT)


def shares_skipped(key: str, reason: str) -> Iterator[Skipped]:
    """None of the shares could be had."""
    for name in SHARES:
        yield Skipped(key=f"robustness.{key}.{name}", reason=reason)


def verdict_findings(evaluation: Evaluation, field: Field) -> Iterator[Finding]:
    """Everything about one attack that its verdicts alone say."""
    setting = evaluation.setting
    counted = tally(evaluation.outcome, len(field.rows))
    yield from shares(setting.key, counted, describe(setting))
    yield Figure(key=f"robustness.{setting.key}.verdicts", data=account(evaluation, counted))
    yield from columns(evaluation, field)
    yield from saturation(setting, counted)
    yield from remarks(evaluation, counted)


def describe(setting: Setting) -> str:
    """The setting in a few words, such as `pgd, linf 8/255, steps 7, step_size 0.007843, …`."""
    threat = setting.threat
    radius = f"{threat.epsilon * 255:.4g}/255" if threat.norm is Norm.LINF else f"{threat.epsilon:.4g}"
    options = [f"{name} {_readable(value)}" for name, value in setting.options.model_dump().items()]
    return ", ".join([setting.name, f"{threat.norm} {radius}", *options])


def unfit_step(setting: Setting) -> str:
    """Why the steps of an attack do not fit its radius, with what would; nothing where they do."""
    options = setting.options.model_dump()
    steps, size, epsilon = options.get("steps"), options.get("step_size"), setting.threat.epsilon
    if not isinstance(steps, int) or not isinstance(size, float):
        return ""
    fitting = f"write step_size: {min(2.5 / steps, 1) * epsilon:.3g}"
    if setting.series is not None:
        fitting = "write an entry for each radius, with a step_size of its own"
    if steps * size < epsilon * (1 - 1e-9):
        return f"moves no further than {steps} × {size:.3g} in a ball of radius {epsilon:.3g} ({fitting})"
    if size > 2 * epsilon:
        return f"makes steps of {size:.3g}, longer than its ball of radius {epsilon:.3g} is wide ({fitting})"
    return ""


def _readable(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def share(key: str, successes: int, trials: int, better: Better, note: str) -> Measurement:
    """A share of images with its Wilson interval; there must be at least one."""
    return Measurement(
        key=key,
        value=successes / trials,
        unit=Unit.FRACTION,
        better=better,
        n=trials,
        interval=wilson(successes, trials),
        note=note,
    )


def account(evaluation: Evaluation, counted: Tally) -> dict[str, FigureValue]:
    """How one attack came to its verdicts: counts, successes by iteration and member, what was odd about gradients."""
    broken = evaluation.outcome == CODES[Outcome.BROKEN]
    known = bool((evaluation.iteration >= 0).all())  # the reference engine does not tell
    marginal = [evaluation.ids[row] for row in np.flatnonzero(evaluation.marginal)]
    return {
        "n": counted.n,
        Outcome.ROBUST: counted.robust,
        Outcome.BROKEN: counted.broken,
        Outcome.ERROR: counted.error,
        Outcome.INITIALLY_WRONG: counted.n - counted.attacked,
        "norm": evaluation.setting.threat.norm,
        "epsilon": evaluation.setting.threat.epsilon,
        "seed": evaluation.seed,
        "saturated": counted.saturated,
        "marginal": len(marginal),
        "marginal_ids": marginal[:MARGINAL_LISTED],
        "broken_at_iteration": [int(count) for count in np.bincount(evaluation.iteration[broken])] if known else [],
        "broken_in_restart": [int(count) for count in np.bincount(evaluation.restart[broken])] if known else [],
        "broken_by": _broken_by(evaluation, broken),
        "eight_bit": {
            "asked": int((evaluation.eight_bit[broken] >= 0).sum()),
            "still_broken": int((evaluation.eight_bit[broken] == 1).sum()),
        },
        "gradient_rows": evaluation.gradients.rows,
        "zero_gradient_rows": evaluation.gradients.zero,
        "nonfinite_gradient_rows": evaluation.gradients.nonfinite,
    }


def _broken_by(evaluation: Evaluation, broken: np.ndarray) -> dict[str, FigureValue]:
    """Images broken by each member; members of one name count together."""
    counts = dict.fromkeys(evaluation.members, 0)
    for number, name in enumerate(evaluation.members):
        counts[name] += int((evaluation.member[broken] == number).sum())
    return dict(counts)


def columns(evaluation: Evaluation, field: Field) -> Iterator[Column]:
    """The verdict of each image, and the query that decided it."""
    key = evaluation.setting.key
    outcome = np.full(field.size, NOT_ATTACKED, dtype=np.int8)
    outcome[field.rows] = CODES[Outcome.INITIALLY_WRONG]
    outcome[field.correct] = evaluation.outcome
    margin, iteration = np.full(field.size, np.nan), np.full(field.size, -1, dtype=np.int32)
    margin[field.correct], iteration[field.correct] = evaluation.margin, evaluation.iteration
    perturbation = np.full(field.size, np.nan)
    perturbation[field.correct] = evaluation.perturbation
    yield Column(name=f"attack_{key}_outcome", values=outcome)
    yield Column(name=f"attack_{key}_margin", values=margin)
    yield Column(name=f"attack_{key}_iteration", values=iteration)
    yield Column(name=f"attack_{key}_perturbation", values=perturbation)
    for name in ("member", "target", "restart"):
        deciding = np.full(field.size, -1, dtype=np.int32)
        deciding[field.correct] = getattr(evaluation, name)
        yield Column(name=f"attack_{key}_{name}", values=deciding)


def saturation(setting: Setting, counted: Tally) -> Iterator[Notice]:
    """A warning where attack success is so high, or so low, that it says little."""
    if counted.saturated:
        success = counted.broken / counted.judged
        yield Notice(
            code="attack-saturated",
            message=f"`{setting.key}` succeeds on {success:.1%} of the images and so tells neither models nor images "
            f"apart; a {'smaller' if success > SATURATED else 'larger'} epsilon would",
        )


def remarks(evaluation: Evaluation, counted: Tally) -> Iterator[Notice]:
    """What a reader must know of an attack: how it differs from its name, an unfit step or radius, errors."""
    setting = evaluation.setting
    if evaluation.notes:
        yield Notice(code="attack-adapted", message=f"`{setting.key}`: {'; '.join(dict.fromkeys(evaluation.notes))}")
    unfit = unfit_step(setting)
    if unfit:
        yield Notice(code="step-unfit", message=f"`{setting.key}` {unfit}")
    fraction = rounded_fraction(setting.threat.epsilon)
    if setting.threat.norm is Norm.LINF and fraction is not None:
        yield Notice(
            code="epsilon-rounded",
            message=f"`{setting.key}` uses epsilon {setting.threat.epsilon:g}, which is not {fraction}; "
            f"results of the two differ (write epsilon: {fraction} if that was meant)",
        )
    if counted.error:
        yield Notice(
            code="attack-errors",
            message=f"`{setting.key}`: {counted.error} images drove the network to NaN or infinity; they count "
            "neither as robust nor as broken",
        )
