"""What the searches say about the gradients, check by check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._masking_check import Check, Excess, first_job, gap, proportion
from repaudit.audits._masking_searches import HALF, HALF_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks.verdict import Evaluation
    from repaudit.audits._masking_check import Gap
    from repaudit.audits._masking_parameters import MaskingParameters
    from repaudit.audits._masking_searches import Searches

NO_VERDICT = "every attacked image ended in an error"
SAME_IMAGE = "gradients of one image are not independent"


def search_checks(searches: Searches, asked: MaskingParameters, classes: int) -> Iterator[Check]:
    """Every check that needs nothing but verdicts."""
    first = first_job(searches.iterated)
    yield gap_check("black_box_gap", "Square, which needs no gradient,", searches.black_box, first, asked)
    yield gap_check("one_step_gap", "a single step", searches.one_step.outcome, first, asked)
    yield _non_monotone(searches, first, asked)
    yield _survivors_half(searches.half, asked, classes)
    yield _noise_ratio(searches.noise.outcome, first, asked)
    taken = (searches.iterated, searches.one_step)
    yield _zero_gradient(taken, asked)
    yield _nonfinite_gradient(taken)
    yield _restart_gain(searches.iterated, asked)
    yield _loss_stalled(searches.adaptive, asked)


def gap_check(name: str, challenger: str, outcome: np.ndarray, champion: np.ndarray, asked: MaskingParameters) -> Check:
    """How often a search that should be weaker breaks what PGD leaves.

    Args:
        name: of the check.
        challenger: how a sentence calls the search.
        outcome: (n,) codes of that search.
        champion: (n,) codes of PGD.
        asked: with the thresholds.
    """
    found = gap(outcome, champion)
    if not found.n:
        return Check(name=name, threshold=asked.max_gap, sentence=NO_VERDICT)
    failed = found.wins > asked.max_gap * found.n and found.p < asked.significance
    sentence = f"{challenger} broke {_of(found.wins, found.n)} that PGD did not"
    if failed:
        sentence += f" (p = {found.p:.2g}): the gradient may be hidden"
    return proportion(
        name,
        found.wins,
        found.n,
        threshold=asked.max_gap,
        failed=failed,
        sentence=_begin(sentence),
        note=f"broken by it and not by PGD; fails above {asked.max_gap:g} with exact McNemar p < "
        f"{asked.significance:g}, here {found.p:.2g}",
    )


def _non_monotone(searches: Searches, first: np.ndarray, asked: MaskingParameters) -> Check:
    name, threshold = "non_monotone", asked.max_gap
    epsilon = searches.iterated.setting.threat.epsilon
    runs = [(epsilon, first), *((radius, run.outcome) for radius, run in searches.radii), (HALF, searches.half.outcome)]
    runs.sort(key=lambda run: run[0])
    pairs = [
        (small, large, gap(inner, outer))
        for number, (small, inner) in enumerate(runs)
        for large, outer in runs[number + 1 :]
    ]

    def fails(found: Gap) -> bool:
        return found.wins > threshold * found.n and found.p * len(pairs) < asked.significance

    small, large, found = max(pairs, key=lambda pair: (fails(pair[2]), pair[2].wins, -pair[2].losses))
    if not found.n:
        return Check(name=name, threshold=threshold, sentence=NO_VERDICT)
    p, failed = min(1.0, found.p * len(pairs)), fails(found)
    sentence = f"PGD at {_levels(small)} broke {_of(found.wins, found.n)} that it did not break at {_levels(large)}"
    listed = ", ".join(_levels(radius) for radius, _ in runs)
    return proportion(
        name,
        found.wins,
        found.n,
        threshold=threshold,
        failed=failed,
        sentence=sentence + (f" (p = {p:.2g}): a larger radius allows more, so the search is misled" if failed else ""),
        note=f"worst of {len(pairs)} pairs of the radii {listed}; fails above {threshold:g} with exact McNemar "
        f"p < {asked.significance:g} after Bonferroni, here {p:.2g}",
    )


def _survivors_half(half: Evaluation, asked: MaskingParameters, classes: int) -> Check:
    threshold = asked.thresholds(classes)["survivors_half"]
    robust, judged = half.count(Outcome.ROBUST), len(half) - half.count(Outcome.ERROR)
    if not judged:
        return Check(name="survivors_half", threshold=threshold, sentence=NO_VERDICT)
    failed = robust > threshold * judged
    sentence = f"{_of(robust, judged)} survived PGD-{HALF_STEPS} at radius {HALF:g}, where any image can become grey"
    return proportion(
        "survivors_half",
        robust,
        judged,
        threshold=threshold,
        failed=failed,
        sentence=sentence + (": the search does not work" if failed else ""),
        note=f"PGD-{HALF_STEPS}, linf {HALF:g}; fails above {threshold:g}",
    )


def _noise_ratio(noise: np.ndarray, first: np.ndarray, asked: MaskingParameters) -> Check:
    name, threshold = "noise_ratio", asked.max_noise_ratio
    judged = (noise != CODES[Outcome.ERROR]) & (first != CODES[Outcome.ERROR])
    by_noise, by_attack = (int((judged & (codes == CODES[Outcome.BROKEN])).sum()) for codes in (noise, first))
    most = max(by_noise, by_attack)
    if not judged.any():
        return Check(name=name, threshold=threshold, sentence=NO_VERDICT)
    seen = f"noise broke {by_noise} and PGD {by_attack} of {judged.sum()} images"
    if most <= asked.noise_floor * judged.sum():
        return Check(name=name, threshold=threshold, sentence=f"{seen}: too few to compare")
    failed = by_noise >= threshold * most
    return proportion(
        name,
        by_noise,
        most,
        threshold=threshold,
        failed=failed,
        sentence=_begin(seen) + (": the gradient leads nowhere that chance does not" if failed else ""),
        note=f"broken by {asked.steps + 1} uniform draws / broken by PGD, at most 1; fails from {threshold:g}",
    )


def _zero_gradient(taken: tuple[Evaluation, ...], asked: MaskingParameters) -> Check:
    name, threshold = "zero_gradient", asked.max_zero_gradient
    rows, zero = sum(run.gradients.rows for run in taken), sum(run.gradients.zero for run in taken)
    if not rows:
        return Check(name=name, threshold=threshold, sentence="no gradient was taken")
    failed = zero > threshold * rows
    return Check(
        name=name,
        threshold=threshold,
        sentence=f"{zero:,} of {rows:,} gradients were exactly zero" + (": the attack stood still" if failed else ""),
        value=zero / rows,
        failed=failed,
        n=rows,
        interval_reason=SAME_IMAGE,
        note=f"n counts gradients at all steps of PGD and FGSM; fails above {threshold:g}",
    )


def _nonfinite_gradient(taken: tuple[Evaluation, ...]) -> Check:
    errors = sum(run.count(Outcome.ERROR) for run in taken)
    bad, rows = sum(run.gradients.nonfinite for run in taken), sum(run.gradients.rows for run in taken)
    if not rows + errors:
        return Check(name="nonfinite_gradient", threshold=0.0, sentence="no gradient was taken")
    sentence = f"{bad:,} of {rows:,} gradients were NaN or infinite"
    if errors:
        sentence += f", and {errors} searches of {len(taken) * len(taken[0])} ended at logits that were"
    return Check(
        name="nonfinite_gradient",
        threshold=0.0,
        sentence=sentence + (": the attack could not go on" if bad + errors else ""),
        value=(bad + errors) / (rows + errors),
        failed=bad + errors > 0,
        n=rows + errors,
        interval_reason=SAME_IMAGE,
        note="n counts gradients at all steps of PGD and FGSM, and queries whose logits were not finite; fails at any",
    )


def _restart_gain(iterated: Evaluation, asked: MaskingParameters) -> Check:
    name, threshold = "restart_gain", asked.max_restart_gain
    judged = iterated.outcome != CODES[Outcome.ERROR]
    later = int(((iterated.outcome == CODES[Outcome.BROKEN]) & (iterated.restart > 0)).sum())
    n = int(judged.sum())
    if not n:
        return Check(name=name, threshold=threshold, sentence=NO_VERDICT)
    excess = Excess(later, n, threshold, asked.significance)
    sentence = f"{asked.restarts - 1} further starts of PGD broke {_of(later, n)} more"
    return proportion(
        name,
        later,
        n,
        threshold=threshold,
        failed=excess.failed,
        sentence=sentence + (f" (p = {excess.p:.2g}): where it starts matters too much" if excess.failed else ""),
        note=f"broken by restarts only, {asked.restarts} starts in all; {excess.rule}",
    )


def _loss_stalled(adaptive: Evaluation, asked: MaskingParameters) -> Check:
    name, threshold = "loss_stalled", asked.max_loss_stalled
    robust = (adaptive.outcome == CODES[Outcome.ROBUST]) & np.isfinite(adaptive.gain)
    n = int(robust.sum())
    if not n:
        return Check(name=name, threshold=threshold, sentence="APGD left no image robust")
    stalled = int((adaptive.gain[robust] <= 0).sum())
    excess = Excess(stalled, n, threshold, asked.significance)
    sentence = f"On {_of(stalled, n)} that APGD left robust it never raised the loss"
    return proportion(
        name,
        stalled,
        n,
        threshold=threshold,
        failed=excess.failed,
        sentence=sentence + (": the gradient does not point uphill" if excess.failed else ""),
        note=f"images robust to APGD-DLR, {asked.steps} steps; {excess.rule}",
    )


def _of(count: int, n: int) -> str:
    return f"{count} of {n} images"


def _levels(epsilon: float) -> str:
    return f"{epsilon * 255:.3g}/255" if epsilon < HALF else f"{epsilon:g}"


def _begin(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
