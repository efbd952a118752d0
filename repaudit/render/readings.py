"""What the numbers say, in plain words: one sentence an audit, each with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.render.plain import number
from repaudit.report import Outcome, RunStatus

if TYPE_CHECKING:
    from repaudit.report import Metric, Report

_MINIMUM_GATE = "gates: [top1 >= 0.75, ece <= 0.05 @95%]"


def readings(report: Report) -> list[str]:
    """Sentences about what was measured; an audit that did not run says nothing."""
    metrics = report.metrics
    sentences = (_calibration(metrics), _null(metrics), _geometry(metrics), _cones(metrics), _robustness(metrics))
    return [sentence for sentence in sentences if sentence]


def next_step(report: Report) -> str:
    """What to do now, in one sentence."""
    metrics, failed = report.metrics, [verdict for verdict in report.gates if verdict.failed]
    if report.run.status is not RunStatus.COMPLETE:
        return "the same command again; what was done is kept."
    if not report.gates:
        return f"write conditions into repaudit.yaml, such as `{_MINIMUM_GATE}`, and run the same command again."
    if not failed:
        if any(verdict.outcome == Outcome.UNPROVEN for verdict in report.gates):
            return "more images would prove what is marked ~, or disprove it."
        return "by these gates it may ship; they speak for images like these and attacks like these only."
    first = failed[0]
    temperature = metrics.get("calibration.temperature")
    if first.metric == "calibration.ece" and temperature is not None and _temperature_helps(metrics):
        return (
            f"divide the logits by {number(temperature.value)} (fitted on half of these images), "
            "export that model and scan it again."
        )
    if first.outcome == Outcome.NOT_MEASURED:
        return f"mend what kept {first.metric} from being measured, or take its gate out of the profile."
    return "the same command with -v shows every number behind what failed."


def _calibration(metrics: dict[str, Metric]) -> str:
    gap = metrics.get("calibration.signed_gap")
    if gap is None:
        return ""
    points = f"{100 * abs(gap.value):.1f} points"
    if gap.interval is not None and gap.interval.low <= 0 <= gap.interval.high:
        sentence = f"Confidence and accuracy differ by {points}, no more than sampling explains"
    else:
        sentence = f"{'Over' if gap.value > 0 else 'Under'}-confident by {points}"
    return f"{sentence}{_recalibration(metrics)}."


def _recalibration(metrics: dict[str, Metric]) -> str:
    before, after = metrics.get("calibration.ece_heldout"), metrics.get("calibration.ece_after_temperature")
    temperature = metrics.get("calibration.temperature")
    if before is None or after is None or temperature is None:
        return ""
    if not _temperature_helps(metrics):
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
        sentence += f", scaling the features by {number(scale.value)} to {scaled.value:.3f}"
    return sentence


def _temperature_helps(metrics: dict[str, Metric]) -> bool:
    before, after = metrics.get("calibration.ece_heldout"), metrics.get("calibration.ece_after_temperature")
    return before is not None and after is not None and after.value < before.value


def _null(metrics: dict[str, Metric]) -> str:
    """Only where it exceeds the band: the audit itself warns where it does not."""
    ece, null = metrics.get("calibration.ece"), metrics.get("calibration.null_ece")
    if ece is None or null is None or ece.value <= null.value:
        return ""
    return (
        f"ECE {number(ece.value)} is more than the {number(null.value)} that a perfectly calibrated model "
        f"would show on average with {ece.n:,} images."
    )


def _geometry(metrics: dict[str, Metric]) -> str:
    mean, point = metrics.get("geometry.pearson.class_mean"), metrics.get("geometry.pearson.minimum_loss")
    if mean is None or point is None:
        return ""
    return (
        "Confidence is associated with the cosine of the feature to its class mean by Pearson "
        f"{mean.value:+.2f}, and to the point of minimum loss by {point.value:+.2f}."
    )


def _cones(metrics: dict[str, Metric]) -> str:
    never = metrics.get("cones.never_share")
    if never is None:
        return ""
    return (
        f"{100 * never.value:.1f} % of the right answers stay right all the way as the feature shrinks to the origin."
    )


def _robustness(metrics: dict[str, Metric]) -> str:
    rates = {key: metric for key, metric in metrics.items() if key.startswith("robustness.") and key.endswith(".asr")}
    single = {key: metric for key, metric in rates.items() if key != "robustness.worst.asr"}
    if not single:
        return ""
    key = max(single, key=lambda name: single[name].value)
    rate = single[key]
    sentence = f"The most successful attack, {key.split('.')[1]}, breaks {100 * rate.value:.1f} % of the right answers"
    if rate.value > 0.95:
        sentence += " (saturated: a smaller radius would tell models apart)"
    return f"{sentence}; a stronger attack can only break more."
