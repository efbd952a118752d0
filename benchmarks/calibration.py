"""Expected calibration error beside torchmetrics and netcal: do the figures agree, and what do they cost?

    python benchmarks/calibration.py [images] [classes]

Everybody starts from the same float32 logits, in one process, in turn, three times; the best time counts. Ours yields
all per-image figures on the way; the second line is the whole calibration audit with resampling, null band and curves.
"""

import resource
import sys
import time

import numpy as np
import torch
from netcal.metrics import ECE
from scipy.special import softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from repaudit.audits.calibration import CalibrationParameters, run
from repaudit.case import Case, EvaluationShape
from repaudit.evidence import Evidence
from repaudit.metrics.binning import equal_width
from repaudit.metrics.calibration import expected_error
from repaudit.metrics.summary import summarize
from repaudit.progress import SilentProgress

ROUNDS = 3
ROW = "{:<34}{:>14}{:>16}{:>10}{:>8}"


def data(n, c):
    """Over-confident logits with labels drawn from half of them; no confidence is exactly 1."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((n, c), dtype=np.float32)
    logits *= 2.2
    labels = np.concatenate([(part + rng.gumbel(size=part.shape)).argmax(1) for part in np.array_split(logits, 50)])
    logits *= 1.5
    return logits, labels


def ours(logits, labels):
    summary = summarize(logits, labels)
    return float(expected_error(equal_width(summary.confidence, summary.correct).sums()))


def torchmetrics(logits, labels):
    p, y = torch.from_numpy(logits).softmax(dim=1), torch.from_numpy(labels)
    return float(multiclass_calibration_error(p, y, logits.shape[1], n_bins=15, validate_args=False))


def netcal(logits, labels):
    return float(ECE(15).measure(softmax(logits.astype(np.float64), axis=1), labels))


def best(work, *arguments):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        value = work(*arguments)
        times.append(time.perf_counter() - start)
    return value, min(times)


def whole_audit(logits, labels):
    """Seconds of the audit, from evidence without features but with a head's bias."""
    c = logits.shape[1]
    bias = np.random.default_rng(1).normal(0, 0.05, c).astype(np.float32)
    ids = tuple(f"{row:08d}" for row in range(len(labels)))
    evidence = Evidence(ids, labels, logits, None, np.zeros((c, 1), np.float32), bias)
    case = Case(
        classifier=None,  # not asked: there is a head
        images=None,
        evidence=evidence,
        parameters=CalibrationParameters(),
        seed=0,
        shape=EvaluationShape(rows=8, calls=1),
        progress=SilentProgress(),
    )
    start = time.perf_counter()
    findings = list(run(case))
    return len(findings), time.perf_counter() - start


def main(n, c):
    torch.set_num_threads(1)
    logits, labels = data(n, c)
    print(f"{n} images, {c} classes, one thread")
    print(ROW.format("", "ECE", "difference", "seconds", "ratio"))
    value, seconds = best(ours, logits, labels)
    print(ROW.format("repaudit", f"{value:.8f}", "", f"{seconds:.2f}", "1.0"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, cost = whole_audit(logits, labels)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(ROW.format("repaudit, the whole audit", "", f"+{grown:.0f} MB peak", f"{cost:.2f}", f"{cost / seconds:.1f}"))
    for peer in (torchmetrics, netcal):
        other, cost = best(peer, logits, labels)
        line = (peer.__name__, f"{other:.8f}", f"{value - other:+.1e}", f"{cost:.2f}", f"{cost / seconds:.1f}")
        print(ROW.format(*line))


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(*arguments, *(50_000, 1000)[len(arguments) :])
