"""What each audit found, in plain words, each sentence with its figures; an audit that did not run says nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from repaudit.render.attacks import radius, threat
from repaudit.render.headlines import headline
from repaudit.render.masking import AUDIT as MASKING
from repaudit.render.masking import failed_checks, made_checks
from repaudit.render.plain import number, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from repaudit.report import Metric, Report

_SUMMED = 1_000_000
"""Wrong answers up to which a sum is taken; of more its limit differs by less than a part in a million."""


def sentences(report: Report, audit: str) -> list[str]:
    """All that one audit's numbers say; empty for an audit that is not known here."""
    return [sentence for say in _OF_AUDIT.get(audit, ()) if (sentence := say(report))]


def temperature_helps(metrics: Mapping[str, Metric]) -> bool:
    """Whether the fitted temperature lowers the ECE of the held-out half."""
    before, after = metrics.get("calibration.ece_heldout"), metrics.get("calibration.ece_after_temperature")
    return before is not None and after is not None and after.value < before.value


def _accuracy(report: Report) -> str:
    top1 = report.metrics.get("accuracy.top1")
    if top1 is None:
        return ""
    return f"It answers {_percent(top1.value)} of {top1.n:,} images right{_worst_class(report)}."


def _worst_class(report: Report) -> str:
    figure = report.figures.get("accuracy.per_class", {})
    shares, counts, names = _numbers(figure, "accuracy"), _numbers(figure, "images"), figure.get("name")
    if len(shares) < 2 or len(shares) != len(counts) or not isinstance(names, list) or len(names) != len(shares):
        return ""
    never = sum(share == 0 for share in shares)
    if never > 1:
        return f"; {never:,} of its {len(shares):,} classes it never gets right"
    worst = min(range(len(shares)), key=shares.__getitem__)
    return (
        f"; of its {len(shares):,} classes the worst is “{safe(str(names[worst]))}”, "
        f"with {_percent(shares[worst])} of {counts[worst]:,.0f}"
    )


def _mistakes(report: Report) -> str:
    share = report.metrics.get("mistakes.sure_share")
    if share is None:
        return ""
    return f"{_percent(share.value)} of the images are {safe(share.note) or 'wrong and sure'}."


def _selective(report: Report) -> str:
    figure = report.figures.get("selective.risk_coverage", {})
    coverage, risk = _numbers(figure, "coverage"), _numbers(figure, "risk")
    if not risk or len(coverage) != len(risk):
        return ""
    half = min(range(len(coverage)), key=lambda at: abs(coverage[at] - 0.5))
    return (
        f"If it answered only the {100 * coverage[half]:.0f} % of the images that it is surest of, it would be "
        f"wrong on {_percent(risk[half])} of them; answering all, on {_percent(risk[-1])}."
    )


def _ranking(report: Report) -> str:
    """Where the area lies between a perfect ranking and one that says nothing."""
    aurc, risk = (
        report.metrics.get("selective.aurc"),
        _numbers(report.figures.get("selective.risk_coverage", {}), "risk"),
    )
    if aurc is None or not risk or not 0 < risk[-1] < 1:
        return ""
    error = risk[-1]
    return (
        f"The area under its risk–coverage curve is {number(aurc.value)}: a perfect ranking of these answers would "
        f"have {number(_least_area(aurc.n, error))}, one that says nothing {number(error)}."
    )


def _least_area(n: int, error: float) -> float:
    """The area where all right answers come first: the mean over k = 1..n of max(0, k − right)/k.

    Args:
        n: images.
        error: share of them that is answered wrong, in (0, 1).
    """
    right = round((1 - error) * n)
    if n - right > _SUMMED:
        return error + (1 - error) * math.log1p(-error)
    kept = np.arange(right + 1, n + 1, dtype=np.float64)
    return float(((kept - right) / kept).sum() / n)


def _within_chance(report: Report) -> bool:
    """The audit found the ECE inside the band of a perfectly calibrated model, and warns of it."""
    return any(warning.code == "calibration-error-within-chance" for warning in report.warnings)


def _calibration(report: Report) -> str:
    metrics = report.metrics
    gap = metrics.get("calibration.signed_gap")
    if gap is None:
        return ""
    points = f"{100 * abs(gap.value):.1f} points"
    above = "above" if gap.value > 0 else "below"
    if gap.interval is None:
        sentence = f"Mean confidence lies {points} {above} accuracy, on {gap.n:,} images only"
    elif gap.interval.low <= 0 <= gap.interval.high:
        sentence = f"Mean confidence and accuracy differ by {points}, no more than sampling explains"
    else:
        sentence = f"{'Over' if gap.value > 0 else 'Under'}-confident by {points}"
        if _within_chance(report):
            sentence += ", which its binned error is too coarse to show on so few images"
    return f"{sentence}{_recalibration(metrics)}."


def _recalibration(metrics: Mapping[str, Metric]) -> str:
    before, after = metrics.get("calibration.ece_heldout"), metrics.get("calibration.ece_after_temperature")
    temperature = metrics.get("calibration.temperature")
    if before is None or after is None or temperature is None:
        return ""
    if not temperature_helps(metrics):
        return (
            f"; on the held-out half temperature {number(temperature.value)} does not lower ECE "
            f"({before.value:.3f} before, {after.value:.3f} after)"
        )
    sentence = (
        f"; on the held-out half temperature {number(temperature.value)} takes ECE "
        f"from {before.value:.3f} to {after.value:.3f}"
    )
    scale, scaled = metrics.get("calibration.feature_scale"), metrics.get("calibration.ece_after_feature_scale")
    if scale is not None and scaled is not None:
        joint = ", and" if scaled.value < before.value else "; but"
        sentence += f"{joint} scaling the features by {number(scale.value)} takes it to {scaled.value:.3f}"
    return sentence


def _null(report: Report) -> str:
    """Only where the ECE exceeds the band: the audit itself warns where it does not."""
    ece, null = report.metrics.get("calibration.ece"), report.metrics.get("calibration.null_ece")
    if ece is None or null is None or ece.value <= null.value or _within_chance(report):
        return ""
    return (
        f"ECE {number(ece.value)} is more than chance explains: a perfectly calibrated model would show "
        f"{number(null.value)} on average with {ece.n:,} images."
    )


def _geometry(report: Report) -> str:
    keys = [headline(report, f"geometry.pearson.{center}") for center in ("class_mean", "minimum_loss")]
    mean, point = (report.metrics.get(key) for key in keys)
    if mean is None or point is None:
        return ""
    kind = "Spearman" if ".spearman." in keys[1] else "Pearson"
    others = " (of the others)" if keys[0].endswith("_loo") else ""
    if not (_tells(mean) or _tells(point)):
        return f"With {point.n:,} images no association of confidence with the features' directions can be seen."
    return (
        f"Confidence is associated with the cosine of the feature to its class mean{others} by {kind} "
        f"{mean.value:+.2f}{_doubt(mean)}, and to the point of minimum loss by {point.value:+.2f}{_doubt(point)}."
    )


def _bias(report: Report) -> str:
    share = report.metrics.get("geometry.bias_dependence")
    if share is None:
        return ""
    return f"Without its head's bias {_percent(share.value)} of the right answers of a class would change, on average."


def _tells(metric: Metric) -> bool:
    return metric.interval is not None and not metric.interval.low <= 0 <= metric.interval.high


def _doubt(metric: Metric) -> str:
    return "" if _tells(metric) else " (not told from 0)"


def _cones(report: Report) -> str:
    never = report.metrics.get("cones.never_share")
    if never is None:
        return ""
    return (
        f"{100 * never.value:.1f} % of the right answers stay right all the way as the feature shrinks to the origin."
    )


def _first_error(report: Report) -> str:
    step = report.metrics.get("cones.first_error_step")
    if step is None:
        return ""
    return f"The first wrong answer on that way comes at step {step.value:.0f} of 100 on average, never counted as 100."


def _robustness(report: Report) -> str:
    rates = {
        key: metric for key, metric in report.metrics.items() if key.startswith("robustness.") and key.endswith(".asr")
    }
    single = {key: metric for key, metric in rates.items() if key != "robustness.worst.asr"}
    if not single:
        return ""
    key = max(single, key=lambda name: single[name].value)
    rate = single[key]
    name = key.split(".")[1]
    threat = f" ({radius(report, name)})" if radius(report, name) else ""
    sentence = f"The most successful attack, {safe(name)}{threat}, breaks {_percent(rate.value)} of the right answers"
    if undecided := _undecided(report, name):
        sentence += f" with a verdict ({undecided:,} had none)"
    if rate.value > 0.95:
        sentence += " (saturated: a smaller radius would tell models apart)"
    if failed_checks(report):
        return f"{sentence}; the gradients that it followed are masked, so the truth may be far worse."
    if rate.value >= 1:
        return f"{sentence}."
    return f"{sentence}; a stronger attack can only break more."


def _undecided(report: Report, attack: str) -> int:
    """Images, all answered right before, to which the network had no finite answer under an attack."""
    share = report.metrics.get(f"robustness.{attack}.error_share")
    return 0 if share is None else round(min(1.0, max(0.0, share.value)) * share.n)


def _worst_case(report: Report) -> str:
    worst = report.metrics.get("robustness.worst.robust_accuracy")
    if worst is None:
        return ""
    right = f"Of all {worst.n:,} images, {_percent(worst.value)} are answered right whichever of these attacks is used"
    undecided = _undecided(report, "worst")
    return f"{right}; {undecided:,} had no verdict." if undecided else f"{right}."


def _transfer(report: Report) -> str:
    rate, own = report.metrics.get("transfer.asr"), report.metrics.get("transfer.surrogate_top1")
    if rate is None or own is None:
        return ""
    figure = report.figures.get("transfer.verdicts", {})
    ball = f" ({threat(figure)})" if threat(figure) else ""
    return (
        f"Following the gradients of {safe(str(figure.get('surrogate', 'a surrogate')), 100)}{ball}, "
        f"which is itself right on {_percent(own.value)}, "
        f"breaks {_percent(rate.value)} of what both get right."
    )


def _masking(report: Report) -> str:
    made, failed = made_checks(report), failed_checks(report)
    if not made:
        return ""
    if not failed:
        return (
            f"None of the {len(made)} checks that could be made found a sign of hidden gradients; "
            "that does not prove that there is none."
        )
    first = report.figures[f"{MASKING}.battery"][failed[0]]
    told = first.get("sentence") if isinstance(first, dict) else None
    return f"{len(failed)} of {len(made)} checks failed, {safe(failed[0])} first: {safe(str(told), 300)}."


def _numbers(figure: Mapping[str, JsonValue], name: str) -> list[float]:
    """A series of a figure; empty where it is none, as a foreign report may have it."""
    series = figure.get(name)
    if not isinstance(series, list):
        return []
    values = [float(value) for value in series if isinstance(value, int | float)]
    return values if len(values) == len(series) else []


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


SHORT: tuple[Callable[[Report], str], ...] = (_calibration, _null, _geometry, _cones, _robustness, _transfer)
"""What a summary says: an audit's first sentence, and what must be known with it."""
_OF_AUDIT: Mapping[str, tuple[Callable[[Report], str], ...]] = {
    "accuracy": (_accuracy,),
    "mistakes": (_mistakes,),
    "calibration": (_calibration, _null),
    "geometry": (_geometry, _bias),
    "cones": (_cones, _first_error),
    "selective": (_selective, _ranking),
    "robustness": (_robustness, _worst_case),
    "transfer": (_transfer,),
    "masking": (_masking,),
}
