"""Which of the many metrics a person sees first."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from repaudit.render.masking import AUDIT as MASKING
from repaudit.render.masking import failed_checks

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
    "transfer.robust_accuracy",
    "transfer.asr",
    "transfer.surrogate_top1",
)
"""In the order of the table. A family without a headline shows all that it has."""


def headline(report: Report, key: str) -> str:
    """The key that stands for a headline in this report.

    Where median confidence exceeds .99 it piles up at 1 and the rank correlation speaks; where class means rest on
    fewer than 20 images, a feature's cosine with a mean that it is part of says little and the others' mean speaks.
    """
    centers = report.figures.get("geometry.centers", {})
    if key.startswith("geometry.pearson.") and centers.get("headline_correlation") == "spearman":
        key = key.replace(".pearson.", ".spearman.")
    few = any(warning.code == "few-images-per-class" for warning in report.warnings)
    alone = f"{key}_loo"
    return alone if few and key.endswith(".class_mean") and alone in report.metrics else key


def family(key: str) -> str:
    """The first segment of a key."""
    return key.partition(".")[0]


def shown_keys(report: Report, *, everything: bool) -> list[str]:
    """Keys of the table's rows: headlines, all that a gate names, what warns (images without a verdict, failed checks).

    Args:
        report: whose metrics are chosen from.
        everything: all metrics, headlines first in each family.
    """
    known = [*(family(pattern) for pattern in HEADLINES), MASKING]
    failed = {f"{MASKING}.{name}" for name in failed_checks(report)}
    headlines = [headline(report, pattern) for pattern in HEADLINES]
    gated = {verdict.metric for verdict in report.gates}
    keys = sorted({*report.metrics, *gated}, key=lambda key: (_place(family(key), known), _rank(key, headlines), key))
    if everything:
        return keys
    return [
        key
        for key in keys
        if family(key) not in known
        or key in gated | failed
        or _rank(key, headlines) < len(headlines)
        or (key.endswith(".error_share") and report.metrics[key].value > 0)
    ]


def _rank(key: str, headlines: list[str]) -> int:
    """Place among the headlines; attacks stay together."""
    for rank, pattern in enumerate(headlines):
        if fnmatchcase(key, pattern):
            return headlines.index("robustness.*.robust_accuracy") if "*" in pattern else rank
    return len(headlines)


def _place(name: str, known: list[str]) -> tuple[int, str]:
    return (known.index(name), "") if name in known else (len(known), name)
