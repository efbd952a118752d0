"""One check of the battery: a number, its threshold, and what that means in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.verdict import CODES, Outcome
from repaudit.finding import Better, Figure, Finding, Measurement, Notice, Skipped, Unit
from repaudit.metrics.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from repaudit.attacks.verdict import Evaluation
    from repaudit.finding import FigureValue
    from repaudit.metrics.intervals import Interval

BATTERY = "masking.battery"
NOTICE = "masked-gradients"


class Verdict(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the battery."""

    name: str
    """The last segment of its key."""
    threshold: float
    sentence: str
    """What was seen and what it means; of a skipped check why it was not made."""
    value: float | None = None
    """None where there is none."""
    failed: bool = False
    n: int = 0
    unit: Unit = Unit.FRACTION
    better: Better = Better.LOWER
    interval: Interval | None = None
    interval_reason: str | None = None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Passed, failed or skipped."""
        if self.value is None:
            return Verdict.SKIPPED
        return Verdict.FAILED if self.failed else Verdict.PASSED


@dataclass(frozen=True, slots=True)
class Gap:
    """How often one search breaks what another leaves."""

    wins: int
    """Images that only the challenger breaks."""
    losses: int
    """Images that only the other breaks."""
    n: int
    """Images that both have a verdict on."""

    @property
    def p(self) -> float:
        """Exact one-sided McNemar p: P(X ≥ wins), X ~ Binomial(wins + losses, ½)."""
        return exceeding(self.wins, self.wins + self.losses, 0.5)


def exceeding(successes: int, trials: int, share: float) -> float:
    """P(X ≥ successes) where X is binomial: the exact p of a share no larger than `share`."""
    from scipy.special import bdtrc

    return 1.0 if successes == 0 else float(bdtrc(successes - 1, trials, share))


@dataclass(frozen=True, slots=True)
class Excess:
    """Whether a share lies above its threshold by more than chance."""

    successes: int
    trials: int
    threshold: float
    significance: float

    @property
    def p(self) -> float:
        """Exact binomial p of a share no larger than the threshold."""
        return exceeding(self.successes, self.trials, self.threshold)

    @property
    def failed(self) -> bool:
        """The share is above the threshold, and chance alone would hardly bring it there."""
        return self.successes > self.threshold * self.trials and self.p < self.significance

    @property
    def rule(self) -> str:
        """When it fails, in a few words."""
        return f"fails above {self.threshold:g} with exact binomial p < {self.significance:g}, here {self.p:.2g}"


def gap(challenger: np.ndarray, champion: np.ndarray) -> Gap:
    """Compares outcome codes (n,) of two searches on the same images; errors of either are left out."""
    judged = (challenger != CODES[Outcome.ERROR]) & (champion != CODES[Outcome.ERROR])
    first, second = (codes == CODES[Outcome.BROKEN] for codes in (challenger, champion))
    return Gap(int((first & ~second & judged).sum()), int((second & ~first & judged).sum()), int(judged.sum()))


def first_job(evaluation: Evaluation) -> np.ndarray:
    """(n,) outcome codes as if there had been no restart."""
    later = evaluation.restart > 0
    return np.where(later, CODES[Outcome.ROBUST], evaluation.outcome)


def proportion(
    name: str, successes: int, trials: int, *, threshold: float, failed: bool, sentence: str, note: str
) -> Check:
    """A check on a share of images, with its Wilson interval."""
    return Check(
        name=name,
        threshold=threshold,
        sentence=sentence,
        value=successes / trials,
        failed=failed,
        n=trials,
        interval=wilson(successes, trials),
        note=note,
    )


def findings(checks: Sequence[Check]) -> Iterator[Finding]:
    """Each check as a number, each failed one as a notice, and all of them as the figure `masking.battery`."""
    for check in checks:
        key = f"masking.{check.name}"
        if check.value is None:
            yield Skipped(key=key, reason=check.sentence)
            continue
        yield Measurement(
            key=key,
            value=check.value,
            unit=check.unit,
            better=check.better,
            n=check.n,
            interval=check.interval,
            interval_reason=check.interval_reason,
            note=check.note,
        )
        if check.failed:
            yield Notice(code=NOTICE, message=f"masking.{check.name}: {check.sentence}")
    yield Figure(key=BATTERY, data={check.name: _entry(check) for check in checks})


def _entry(check: Check) -> dict[str, FigureValue]:
    return {
        "value": check.value,
        "threshold": check.threshold,
        "verdict": check.verdict,
        "sentence": check.sentence,
    }
