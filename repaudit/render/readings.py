"""What the numbers say, in plain words: one sentence an audit, each with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.profiles import Severity, names
from repaudit.render.attacks import radius
from repaudit.render.headlines import headline
from repaudit.render.masking import failed_checks
from repaudit.render.plain import number, safe
from repaudit.report import Outcome, RunStatus

if TYPE_CHECKING:
    from repaudit.report import Metric, Report

BAD = (Outcome.FAIL, Outcome.NOT_MEASURED)
"""What a gate of level `warn` only warns of."""
_CONDITIONS = {"accuracy.top1": "top1 >= 0.75", "calibration.ece": "ece <= 0.05 @95%"}
"""First gates to write, for what was measured."""


def readings(report: Report) -> list[str]:
    """Sentences about what was measured; an audit that did not run says nothing."""
    metrics = report.metrics
    sentences = (_calibration(report), _null(report), _geometry(report), _cones(metrics), _robustness(report))
    return [sentence for sentence in sentences if sentence]


def next_step(report: Report) -> str:
    """What to do now, in one sentence."""
    metrics, failed = report.metrics, [verdict for verdict in report.gates if verdict.failed]
    if report.run.status is not RunStatus.COMPLETE:
        return "the same command again; it continues where it stopped."
    if not report.gates:
        return _first_gates(report)
    if not failed:
        if failed_checks(report) and any(verdict.metric.startswith("robustness.") for verdict in report.gates):
            return "its gradients are masked, so the gates on robustness prove nothing; mend that before it ships."
        if any(verdict.outcome == Outcome.UNPROVEN for verdict in report.gates):
            return "more images would prove what is marked ~, or disprove it."
        if any(verdict.level is Severity.WARN and verdict.outcome in BAD for verdict in report.gates):
            return "no gate that counts failed; look at the warnings above before it ships."
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


def _first_gates(report: Report) -> str:
    """Gates that can be pasted, into the file that the next scan reads."""
    conditions = [text for key, text in _CONDITIONS.items() if key in report.metrics]
    name, shipped = report.profile.name, report.profile.name in names()
    if not conditions:
        return "write conditions on these metrics into a profile (docs/gates.md), and run the same command again."
    if name.endswith(".toml"):
        written = ", ".join(f'"{text}"' for text in conditions)
        return f"write conditions into {safe(name)}, such as `gates = [{written}]`, and run the same command again."
    gates, again = f"gates: [{', '.join(conditions)}]", "and run the same command again"
    if shipped and name != "quick":
        gates = f"{{extends: {name}, {gates}}}"
    if shipped:
        return f"write conditions into repaudit.yaml, such as `{gates}`, {again} without --profile."
    return f"write conditions into {safe(name)}, such as `{gates}`, {again}."


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
    elif _within_chance(report):
        sentence = f"Mean confidence lies {points} {above} accuracy; bin by bin no error stands out from chance"
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
        joint = ", and" if scaled.value < before.value else "; but"
        sentence += f"{joint} scaling the features by {number(scale.value)} takes it to {scaled.value:.3f}"
    return sentence


def _temperature_helps(metrics: dict[str, Metric]) -> bool:
    before, after = metrics.get("calibration.ece_heldout"), metrics.get("calibration.ece_after_temperature")
    return before is not None and after is not None and after.value < before.value


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


def _tells(metric: Metric) -> bool:
    return metric.interval is not None and not metric.interval.low <= 0 <= metric.interval.high


def _doubt(metric: Metric) -> str:
    return "" if _tells(metric) else " (not told from 0)"


def _cones(metrics: dict[str, Metric]) -> str:
    never = metrics.get("cones.never_share")
    if never is None:
        return ""
    return (
        f"{100 * never.value:.1f} % of the right answers stay right all the way as the feature shrinks to the origin."
    )


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
    sentence = f"The most successful attack, {name}{threat}, breaks {100 * rate.value:.1f} % of the right answers"
    if rate.value > 0.95:
        sentence += " (saturated: a smaller radius would tell models apart)"
    if failed_checks(report):
        return f"{sentence}; the gradients that it followed are masked, so the truth may be far worse."
    return f"{sentence}; a stronger attack can only break more."
