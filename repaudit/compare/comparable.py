"""What keeps two reports from being compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repaudit.compare.differing import differences, short
from repaudit.errors import InvalidReport
from repaudit.report.attack_codes import ATTACKED, SURROGATE_RIGHT, outcome_column

if TYPE_CHECKING:
    from repaudit.compare.sides import Side
    from repaudit.report import DataSection, Report


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides whether reports can be compared, known before anything is measured."""

    data: DataSection
    versions: Mapping[str, int]
    """By audit."""
    parameters: Mapping[str, Mapping[str, object]]
    """JSON values, by audit."""
    seed: int
    """Chooses the images of an audit that has a limit of its own."""

    @classmethod
    def of(cls, report: Report) -> Asked:
        """That of a report."""
        return cls(
            report.data,
            {audit.id: audit.version for audit in report.audits},
            {audit.id: audit.params for audit in report.audits},
            report.run.seed,
        )


def refuse_incomparable(now: Asked, before: Side, keys: Sequence[str]) -> None:
    """Refuses to pair what is not the same.

    Args:
        now: what is compared.
        before: with this baseline.
        keys: of the metrics in question; only their audits must agree.

    Raises:
        InvalidReport: with every difference that matters.
    """
    base = Asked.of(before.report)
    found = data_differences(now, base, "the baseline")
    for name in dict.fromkeys(key.partition(".")[0] for key in keys):
        found += audit_differences(name, now, base, "the baseline")
    missing = {name for key in keys for name in needed_columns(key) if name not in before.columns}
    found += [f"per-image rows: no `{name}` in the baseline" for name in sorted(missing)]
    if found:
        raise InvalidReport(
            f"{before.name} cannot be compared with this",
            detail="\n".join(found),
            remedy="repaudit scan BASELINE_MODEL with this data and profile, and its report as --baseline",
        )


def needed_columns(key: str) -> tuple[str, ...]:
    """The per-image columns that a metric follows from."""
    if key.startswith(ATTACKED):
        return ("id", outcome_column(key), *((SURROGATE_RIGHT,) if key == "transfer.asr" else ()))
    single = {"accuracy.top5": "top5", "calibration.nll": "log_p_label", "calibration.brier": "brier"}
    return ("id", single[key]) if key in single else ("id", "label", "prediction", "confidence")


def data_differences(now: Asked, before: Asked, there: str) -> list[str]:
    """How the images of two reports differ, one line each.

    Args:
        now: what is compared.
        before: with this.
        there: what lines call `before`, such as `the baseline`.
    """
    mine, theirs = now.data, before.data
    pairs: list[tuple[str, object, object]] = [
        ("number", mine.images_count, theirs.images_count),
        ("subset", mine.subset, theirs.subset),
        ("labels", mine.labels, theirs.labels),
        ("fingerprint of ids, bytes and labels", mine.fingerprint, theirs.fingerprint),
    ]
    return [
        f"images: {label}: {short(str(other))} in {there}, {short(str(own))} here"
        for label, own, other in pairs
        if own != other
    ]


def audit_differences(name: str, now: Asked, before: Asked, there: str) -> list[str]:
    """How version and parameters of one audit differ, one line each; arguments as for `data_differences`."""
    for asked, place in ((before, f"in {there}"), (now, "here")):
        if name not in asked.versions:
            return [f"audit {name}: not {place}"]
    found = []
    if now.versions[name] != before.versions[name]:
        found.append(f"audit {name}: version {before.versions[name]} in {there}, {now.versions[name]} here")
    mine, theirs = now.parameters[name], before.parameters[name]
    found += [
        f"audit {name}: {line}"
        for field in sorted({*mine, *theirs})
        for line in differences(field, theirs.get(field), mine.get(field), there)
    ]
    limits = [values.get("limit") for values in (mine, theirs)]
    chosen = any(isinstance(limit, int) and limit < now.data.images_count for limit in limits)
    if chosen and now.seed != before.seed:
        seeds = f"seed {before.seed} in {there}, {now.seed} here"
        found.append(f"audit {name}: limit {mine.get('limit')} chose other images: {seeds}")
    return found
