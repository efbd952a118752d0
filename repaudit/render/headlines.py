"""Which of the many metrics a person sees first."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repaudit.report import Report

HEADLINES = (
    "accuracy.top1",
    "accuracy.top5",
    "calibration.ece",
    "calibration.null_ece",
    "calibration.signed_gap",
    "calibration.nll",
    "calibration.temperature",
    "calibration.ece_heldout",
    "calibration.ece_after_temperature",
    "geometry.rms",
    "geometry.cosine.class_mean",
    "geometry.cosine.minimum_loss",
    "geometry.pearson.class_mean",
    "geometry.pearson.minimum_loss",
    "geometry.bias_dependence",
    "collapse.nc1",
    "cones.first_error_step",
    "cones.never_share",
    "selective.aurc",
    "robustness.*.robust_accuracy",
    "robustness.*.asr",
)
"""In the order of the table. A family without a headline shows all that it has."""


def family(key: str) -> str:
    """The first segment of a key."""
    return key.partition(".")[0]


def shown_keys(report: Report, *, everything: bool) -> list[str]:
    """Keys of the table's rows: headlines, all that a gate names, and shares of images without a verdict.

    Args:
        report: whose metrics are chosen from.
        everything: all metrics, headlines first in each family.
    """
    known = [family(pattern) for pattern in HEADLINES]
    gated = {verdict.metric for verdict in report.gates}
    keys = sorted({*report.metrics, *gated}, key=lambda key: (_place(family(key), known), _rank(key), key))
    if everything:
        return keys
    return [
        key
        for key in keys
        if family(key) not in known
        or key in gated
        or _rank(key) < len(HEADLINES)
        or (key.endswith(".error_share") and report.metrics[key].value > 0)
    ]


def _rank(key: str) -> int:
    """Place among the headlines; attacks stay together."""
    for rank, pattern in enumerate(HEADLINES):
        if fnmatchcase(key, pattern):
            return HEADLINES.index("robustness.*.robust_accuracy") if "*" in pattern else rank
    return len(HEADLINES)


def _place(name: str, known: list[str]) -> tuple[int, str]:
    return (known.index(name), "") if name in known else (len(known), name)
