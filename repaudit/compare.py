"""Paired statistics between two reports on the same images.

Two reports can be compared only where ids, bytes, labels and subset of the images agree, and version and parameters of
the audit in question. Preprocessing belongs to the model: that it differs is a remark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidReport
from repaudit.finding import Better
from repaudit.metrics.binning import BINS, Bins, BinSums, equal_mass, equal_width
from repaudit.metrics.calibration import expected_error, over_part, under_part
from repaudit.metrics.paired import (
    LEAST_PAIRS,
    Difference,
    NoPair,
    detectable,
    difference_of_means,
    difference_of_shares,
    difference_of_statistics,
    is_paired,
)
from repaudit.randomness import generator
from repaudit.report import BaselineSection, Comparison, read, read_per_image
from repaudit.report.attack_codes import CODES, NOT_ATTACKED, AttackOutcome

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.report import DataSection, Report

LEVEL = 0.95
TOO_FEW = f"fewer than {LEAST_PAIRS} pairs: resamples of so few hardly differ and would prove anything"
ROBUST, BROKEN = CODES[AttackOutcome.ROBUST], CODES[AttackOutcome.BROKEN]


@dataclass(frozen=True, slots=True)
class Side:
    """A report and its per-image columns."""

    report: Report
    columns: Mapping[str, np.ndarray]
    name: str
    """How messages call it."""
    sha256: str = ""
    """Of its file, where it has one."""


def open_side(path: Path) -> Side:
    """A saved report with its sidecar.

    Raises:
        InvalidReport: either cannot be read, or they do not belong together.
    """
    path = path / "report.json" if path.is_dir() else path
    report = read(path)
    if report.per_image is None:
        raise InvalidReport(
            f"{path} has no per-image rows, so nothing can be paired with it",
            remedy="-o DIR in the scan that wrote it: `-o -` alone keeps no sidecar",
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Side(report, read_per_image(report.per_image, path), str(path), digest)


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides whether reports can be compared, known before anything is measured."""

    data: DataSection
    versions: Mapping[str, int]
    """By audit."""
    parameters: Mapping[str, Mapping[str, object]]
    """JSON values, by audit."""

    @classmethod
    def of(cls, report: Report) -> Asked:
        """That of a report."""
        return cls(
            report.data,
            {audit.id: audit.version for audit in report.audits},
            {audit.id: audit.params for audit in report.audits},
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
    found = [
        f"images: {label}: {theirs} in the baseline, {mine} here"
        for label, mine, theirs in _data(now.data, base.data)
        if mine != theirs
    ]
    for name in dict.fromkeys(key.partition(".")[0] for key in keys):
        if name not in base.versions:
            found.append(f"audit {name}: not in the baseline")
            continue
        if now.versions[name] != base.versions[name]:
            found.append(f"audit {name}: version {base.versions[name]} in the baseline, {now.versions[name]} here")
        here, there = now.parameters[name], base.parameters[name]
        found += [
            f"audit {name}: {field} is {there.get(field)!r} in the baseline, {here.get(field)!r} here"
            for field in sorted({*here, *there})
            if here.get(field) != there.get(field)
        ]
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
    if key.startswith("robustness."):
        return (
            "id",
            f"attack_{key.split('.')[1]}_outcome",
        )
    single = {"accuracy.top5": "top5", "calibration.nll": "log_p_label", "calibration.brier": "brier"}
    return ("id", single[key]) if key in single else ("id", "label", "prediction", "confidence")


def baseline_section(now: Report, before: Side) -> BaselineSection:
    """What a report keeps of its baseline."""
    mine, theirs = now.model, before.report.model
    notes = [] if mine.preprocess == theirs.preprocess else ["the baseline is preprocessed otherwise"]
    if now.tool.version != before.report.tool.version:
        notes.append(f"the baseline was measured by repaudit {before.report.tool.version}")
    return BaselineSection(
        sha256=before.sha256, model=theirs.resolved, weights_sha256=theirs.weights_sha256, notes=notes
    )


def compared(now: Side, before: Side, keys: Sequence[str]) -> Report:
    """The report of a side with its baseline, and some metrics compared; what cannot be paired is left out.

    Args:
        now: with its rows.
        before: comparable with it.
        keys: full names.
    """
    comparisons = {}
    for key in sorted(keys):
        rows = all(name in side.columns for side in (now, before) for name in needed_columns(key))
        if rows and key in now.report.metrics and key in before.report.metrics:
            with suppress(NoPair):
                comparisons[key] = compare(key, now, before)
    return now.report.model_copy(update={"baseline": baseline_section(now.report, before), "comparisons": comparisons})


def compare(key: str, now: Side, before: Side) -> Comparison:
    """One metric of two comparable reports, image by image.

    Raises:
        KeyError: one of the reports does not have it.
        NoPair: no image counts in both.
        ValueError: the metric is no function of the per-image columns, or neither direction of it is bad.
    """
    metric, other = now.report.metrics[key], before.report.metrics[key]
    if metric.better is Better.NEITHER:
        raise ValueError(f"neither direction of {key} is bad")
    first, second = (now, before) if metric.better is Better.LOWER else (before, now)
    difference = _statistic(key)(_Pair(first, second, _aligned(first, second)), key)
    return Comparison(
        value=metric.value,
        baseline=other.value,
        worse=difference.value,
        unit=metric.unit,
        better=metric.better,
        n=difference.n,
        interval=difference.interval,
        interval_reason=TOO_FEW if difference.interval is None else None,
        detectable=None if difference.interval is None else detectable(difference, LEVEL),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two sides whose difference, first − second, is wanted."""

    first: Side
    second: Side
    rows: tuple[np.ndarray, np.ndarray]
    """(n,) each: the places of the same images, in the order of their ids."""

    def columns(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The same column of both, image by image."""
        return self.first.columns[name][self.rows[0]], self.second.columns[name][self.rows[1]]

    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool each: classified correctly."""
        predictions, labels = self.columns("prediction"), self.columns("label")
        return predictions[0] == labels[0], predictions[1] == labels[1]

    def draws(self, key: str) -> np.random.Generator:
        """Of the resamples of one metric: the same for the same two reports."""
        return generator(self.first.report.run.seed + self.second.report.run.seed, f"compare.{key}")


def _aligned(first: Side, second: Side) -> tuple[np.ndarray, np.ndarray]:
    one, other = first.columns["id"], second.columns["id"]
    orders = np.argsort(one), np.argsort(other)
    if not np.array_equal(one[orders[0]], other[orders[1]]):
        raise ValueError("only the same images can be paired")
    return orders


def _data(mine: DataSection, theirs: DataSection) -> list[tuple[str, object, object]]:
    return [
        ("number", mine.images_count, theirs.images_count),
        ("subset", mine.subset, theirs.subset),
        ("labels", mine.labels, theirs.labels),
        ("fingerprint of ids, bytes and labels", mine.fingerprint, theirs.fingerprint),
    ]


def _accuracy(pair: _Pair, key: str) -> Difference:
    if key.endswith("top5"):
        one, other = pair.columns("top5")
        return difference_of_shares(one.astype(bool), other.astype(bool))
    return difference_of_shares(*pair.right())


def _mean_of(column: str, sign: float = 1.0) -> Callable[[_Pair, str], Difference]:
    def difference(pair: _Pair, key: str) -> Difference:
        one, other = pair.columns(column)
        return difference_of_means(sign * one, sign * other, pair.draws(key))

    return difference


def _binned(
    partition: Callable[..., Bins], error: Callable[[BinSums], np.ndarray]
) -> Callable[[_Pair, str], Difference]:
    def difference(pair: _Pair, key: str) -> Difference:
        audits = {audit.id: audit.params for audit in pair.first.report.audits}
        asked = audits["calibration"].get("bins", BINS)
        bins = asked if isinstance(asked, int) else BINS
        confidence, right = pair.columns("confidence"), pair.right()
        one, other = (partition(confidence[side], right[side], bins=bins) for side in (0, 1))

        def differences(weights: np.ndarray) -> np.ndarray:
            gap: np.ndarray = error(one.weighted_sums(weights)) - error(other.weighted_sums(weights))
            return gap

        value = float(error(one.sums()) - error(other.sums()))
        return difference_of_statistics(value, differences, len(confidence[0]), pair.draws(key))

    return difference


def _attacked(pair: _Pair, key: str) -> Difference:
    _, attack, name = key.split(".")
    one, other = pair.columns(f"attack_{attack}_outcome")
    if name == "asr":
        both = np.isin(one, (ROBUST, BROKEN)) & np.isin(other, (ROBUST, BROKEN))
        return difference_of_shares(one[both] == BROKEN, other[both] == BROKEN)
    both = (one != NOT_ATTACKED) & (other != NOT_ATTACKED)
    code = ROBUST if name == "robust_accuracy" else CODES[AttackOutcome.ERROR]
    return difference_of_shares(one[both] == code, other[both] == code)


_STATISTICS: Mapping[str, Callable[[_Pair, str], Difference]] = {
    "accuracy.top1": _accuracy,
    "accuracy.top5": _accuracy,
    "calibration.ece": _binned(equal_width, expected_error),
    "calibration.ece_over": _binned(equal_width, over_part),
    "calibration.ece_under": _binned(equal_width, under_part),
    "calibration.ece_equal_mass": _binned(equal_mass, expected_error),
    "calibration.nll": _mean_of("log_p_label", -1.0),
    "calibration.brier": _mean_of("brier"),
}


def _statistic(key: str) -> Callable[[_Pair, str], Difference]:
    if not is_paired(key):
        raise ValueError(f"{key} is no function of the per-image columns")
    return _attacked if key.startswith("robustness.") else _STATISTICS[key]
