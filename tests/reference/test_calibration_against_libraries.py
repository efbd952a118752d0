"""Calibration figures against independent programs, where their conventions agree with ours.

No confidence here is exactly 1 or on an edge: there the libraries disagree with each other.
"""

import importlib

import numpy as np
import pytest
from scipy.special import softmax

from repaudit.metrics.binning import equal_mass, equal_width
from repaudit.metrics.calibration import classwise_error, expected_error, maximum_error, signed_root, squared_error
from repaudit.metrics.smooth import smooth_error
from repaudit.metrics.summary import summarize


def oracle(name):
    """The module, or a skip that says which extra brings it."""
    return pytest.importorskip(name, reason=f"{name} comes with the extras `test` and `oracles`")


@pytest.fixture(params=["calibrated", "over-confident", "under-confident", "few"])
def answers(request, rng):
    """Logits (n, 10) and labels drawn from their softmax, then sharpened or flattened."""
    n = 60 if request.param == "few" else 3000
    logits = rng.normal(0, 2, (n, 10))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits * {"over-confident": 1.5, "under-confident": 0.5}.get(request.param, 1.0), labels


def test_the_expected_and_the_maximum_error_are_torchmetrics(answers):
    torch = oracle("torch")
    functional = importlib.import_module(oracle("torchmetrics").__name__ + ".functional.classification")
    logits, labels = answers
    summary = summarize(logits, labels)
    sums = equal_width(summary.confidence, summary.correct).sums()
    p, y = torch.from_numpy(softmax(logits, axis=1)), torch.from_numpy(labels)

    for norm, ours in (("l1", expected_error(sums)), ("max", maximum_error(sums))):
        theirs = functional.multiclass_calibration_error(p, y, num_classes=10, n_bins=15, norm=norm)
        assert float(ours) == pytest.approx(float(theirs), abs=1e-6)  # it adds up in float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyro's and gpytorch's imports
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_expected_the_maximum_and_each_classs_error_are_netcals(answers):
    netcal = oracle("netcal.metrics")
    logits, labels = answers
    summary = summarize(logits, labels)
    sums = equal_width(summary.confidence, summary.correct).sums()
    p = softmax(logits, axis=1)

    assert float(expected_error(sums)) == pytest.approx(netcal.ECE(15).measure(p, labels), abs=1e-9)
    assert float(maximum_error(sums)) == pytest.approx(netcal.MCE(15).measure(p, labels), abs=1e-9)
    per_class = [
        netcal.ECE(15, equal_intervals=True).measure(p[kept, k], (labels[kept] == k).astype(int))
        for k in range(10)
        if (kept := p[:, k] > 0.1).any()
    ]
    ours = classwise_error(logits, labels, np.logaddexp.reduce(logits, axis=1))
    assert ours is not None
    assert ours.error == pytest.approx(np.mean(per_class), abs=1e-9)


def test_the_equal_mass_and_the_debiased_error_are_those_of_uncertainty_calibration(answers):
    calibration = oracle("calibration")
    logits, labels = answers
    summary = summarize(logits, labels)
    sums = equal_mass(summary.confidence, summary.correct).sums()
    p = softmax(logits, axis=1)

    ours = float(signed_root(squared_error(sums, debiased=True)))
    theirs = calibration.lower_bound_scaling_top_ce(p, labels, p=2, debias=True, num_bins=15)
    assert max(ours, 0) == pytest.approx(theirs, abs=1e-9)
    assert float(expected_error(sums)) == pytest.approx(calibration.get_ece_em(p, labels, num_bins=15), abs=1e-9)


def test_tied_confidences_are_binned_by_mass_as_uncertainty_calibration_bins_them(rng):
    calibration = oracle("calibration")
    confidence = rng.choice([0.31, 0.52, 0.52, 0.77, 0.93], 400)
    correct = rng.random(400) < 0.6

    ours = expected_error(equal_mass(confidence, correct).sums())

    theirs = calibration.utils.lower_bound_scaling_ce(confidence, correct.astype(int), p=1, debias=False, num_bins=15)
    assert float(ours) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # relplot's plotting imports
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_smooth_error_is_relplots(answers):
    relplot = oracle("relplot")
    logits, labels = answers
    summary = summarize(logits, labels)

    ours = smooth_error(summary.confidence, summary.correct)

    # relplot finds the width to 1/1024, and cuts the kernel at a distance of 1/2, which an error above .2 would feel
    assert ours == pytest.approx(relplot.smECE(summary.confidence, summary.correct.astype(float)), abs=1e-3)


def test_likelihood_and_brier_are_scikit_learns(answers):
    metrics = oracle("sklearn.metrics")
    logits, labels = answers
    summary = summarize(logits, labels)
    p = softmax(logits, axis=1)
    classes = list(range(10))

    assert -summary.log_p_label.mean() == pytest.approx(metrics.log_loss(labels, p, labels=classes), rel=1e-9)
    theirs = metrics.brier_score_loss(labels, p, labels=classes, scale_by_half=False)
    assert summary.brier.mean() == pytest.approx(theirs, rel=1e-9)
