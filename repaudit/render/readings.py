"""What the numbers say, and what to do next, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.profiles import Severity, names
from repaudit.render.masking import failed_checks
from repaudit.render.plain import number, safe
from repaudit.render.sentences import SHORT, temperature_helps
from repaudit.render.waived import waived_step
from repaudit.report import Outcome, RunStatus
from repaudit.report.attack_codes import ATTACKED

if TYPE_CHECKING:
    from repaudit.report import Report, Verdict

BAD = (Outcome.FAIL, Outcome.NOT_MEASURED)
"""What a gate of level `warn` only warns of."""
_CONDITIONS = {"accuracy.top1": "top1 >= 0.75", "calibration.ece": "ece <= 0.05 @95%"}
"""First gates to write, for what was measured."""
_THIS, _BASELINE = "this network", "the baseline"


def readings(report: Report) -> list[str]:
    """Sentences about what was measured; an audit that did not run says nothing."""
    return [sentence for say in SHORT if (sentence := say(report))]


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
        if waived := waived_step(report.gates):
            return waived
        if any(verdict.outcome == Outcome.UNPROVEN for verdict in report.gates):
            return _proof(report)
        if any(verdict.level is Severity.WARN and verdict.outcome in BAD for verdict in report.gates):
            return "no gate that counts failed; look at the warnings above before it ships."
        attacked = any(key.startswith(ATTACKED) for key in report.metrics)
        spoken = "images like these and attacks like these" if attacked else "images like these"
        return f"by these gates it may ship; they speak for {spoken} only."
    first = failed[0]
    temperature = metrics.get("calibration.temperature")
    if first.metric == "calibration.ece" and temperature is not None and temperature_helps(metrics):
        return (
            f"divide the logits by {number(temperature.value)} (fitted on half of these images), "
            "export that model and scan it again."
        )
    if first.outcome == Outcome.NOT_MEASURED:
        return f"mend what kept {safe(first.metric)} from being measured, or take its gate out of the profile."
    return f"mend what {safe(first.metric)} measures and scan again; why it failed stands with its gate."


def _proof(report: Report) -> str:
    """What would prove the gates that hold without proof."""
    unproven = [verdict for verdict in report.gates if verdict.outcome == Outcome.UNPROVEN]
    undecided = {verdict.metric: _undecided(report, verdict) for verdict in unproven}
    networks = [name for name in (_THIS, _BASELINE) if any(name in found for found in undecided.values())]
    if not networks:
        return "more images would prove what is marked ~, or disprove it."
    answer = "answers" if len(networks) == 1 else "answer"
    mend = (
        f"{' and '.join(networks)} {answer} with NaN or infinity under attack; images without a verdict prove nothing"
    )
    if all(undecided.values()):
        return f"{mend}: mend that first."
    return f"{mend}: mend that first; more images would prove what else is marked ~, or disprove it."


def _undecided(report: Report, verdict: Verdict) -> tuple[str, ...]:
    """Whose images without a verdict a gate rests on."""
    own = report.metrics.get(f"{verdict.metric.rpartition('.')[0]}.error_share")
    relative = verdict.gate.lstrip().startswith("worse")
    compared = report.comparisons.get(verdict.metric) if relative else None
    baseline = None if compared is None else compared.baseline_error_share
    return tuple(
        name
        for name, share in ((_THIS, None if own is None else own.value), (_BASELINE, baseline))
        if share is not None and share > 0
    )


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
