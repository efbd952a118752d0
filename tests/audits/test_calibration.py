"""The calibration audit: every key, what cannot be had, and how it agrees with plain arithmetic."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from repaudit.audits import bind
from repaudit.audits.calibration import CalibrationParameters, audit, run
from repaudit.errors import InvalidProfile
from repaudit.finding import Figure, Measurement, Notice, Skipped
from repaudit.metrics.intervals import Counts, Mean, Replicates

QUICK = CalibrationParameters(resamples=200)


@pytest.fixture
def head_evidence(rng, make_evidence):
    """An over-confident head with a bias that matters: 600 images, 5 classes."""
    labels = rng.integers(0, 5, 600)
    weight = rng.normal(size=(5, 12))
    features = 2 * rng.normal(size=(600, 12)) + 1.2 * weight[labels]
    return make_evidence(features, labels, weight, rng.normal(0, 2, 5))


def audited(make_case, evidence, parameters=QUICK, **options):
    return list(run(make_case(evidence, parameters, **options)))


def values(findings):
    return {finding.key: finding.value for finding in findings if isinstance(finding, Measurement)}


def figure(findings, key):
    return next(finding.data for finding in findings if isinstance(finding, Figure) and finding.key == key)


def answered(findings):
    return [finding.key for finding in findings if isinstance(finding, Measurement | Skipped)]


def test_with_a_linear_head_every_key_is_measured_once(make_case, head_evidence):
    findings = audited(make_case, head_evidence)

    assert sorted(answered(findings)) == sorted(audit.keys)
    assert not [finding for finding in findings if isinstance(finding, Skipped)]


def test_without_a_linear_head_only_the_feature_scale_is_missing_and_the_reason_is_the_heads(
    make_case, make_classifier, head_evidence
):
    classifier = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
    classifier.card = replace(classifier.card, head=replace(classifier.card.head, reason="the last layer is a pooling"))
    headless = replace(head_evidence, features=None, weight=None, bias=None)

    findings = audited(make_case, headless, classifier=classifier)

    skipped = {finding.key: finding.reason for finding in findings if isinstance(finding, Skipped)}
    assert set(skipped) == {
        "calibration.feature_scale",
        "calibration.ece_after_feature_scale",
        "calibration.top1_after_feature_scale",
    }
    assert all("the last layer is a pooling" in reason for reason in skipped.values())
    assert sorted(answered(findings)) == sorted(audit.keys)
    assert figure(findings, "calibration.feature_scaling")["feature_scale"] is None


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_very_few_images_give_reasons_instead_of_numbers(make_case, logits_evidence, rng, n):
    evidence = logits_evidence(rng.normal(0, 2, (n, 4)), rng.integers(0, 4, n))

    findings = audited(make_case, evidence)

    assert sorted(answered(findings)) == sorted(audit.keys)
    skipped = {finding.key for finding in findings if isinstance(finding, Skipped)}
    assert ("calibration.ece_heldout" in skipped) == (n < 4)


def test_a_model_that_is_always_right_has_no_temperature_but_a_held_out_error(make_case, make_evidence, rng):
    labels = rng.integers(0, 3, 60)
    findings = audited(make_case, make_evidence(np.eye(3)[labels], labels, np.eye(3), np.array([0.1, 0, 0])))

    skipped = {finding.key: finding.reason for finding in findings if isinstance(finding, Skipped)}
    assert "classified right" in skipped["calibration.temperature"]
    assert "classified right" in skipped["calibration.top1_after_feature_scale"]
    assert "calibration.ece_heldout" in values(findings)
    assert figure(findings, "calibration.fit")["product"] is None


def test_a_model_that_answers_uniformly_has_no_classwise_error_and_no_temperature(make_case, logits_evidence):
    findings = audited(make_case, logits_evidence(np.zeros((40, 10)), np.arange(40) % 10))

    skipped = {finding.key for finding in findings if isinstance(finding, Skipped)}
    assert {"calibration.ece_classwise", "calibration.temperature"} <= skipped
    assert values(findings)["calibration.ece"] == pytest.approx(0, abs=1e-12)


def test_likelihood_brier_and_gap_are_those_of_scipys_softmax(make_case, head_evidence):
    log_p = log_softmax(head_evidence.logits.astype(np.float64), axis=1)
    labels = head_evidence.labels
    one_hot = np.eye(5)[labels]

    found = values(audited(make_case, head_evidence))

    assert found["calibration.nll"] == pytest.approx(-(log_p * one_hot).sum(axis=1).mean(), rel=1e-12)
    assert found["calibration.brier"] == pytest.approx(((np.exp(log_p) - one_hot) ** 2).sum(axis=1).mean(), rel=1e-10)
    accuracy = (log_p.argmax(axis=1) == labels).mean()
    assert found["calibration.signed_gap"] == pytest.approx(np.exp(log_p.max(axis=1)).mean() - accuracy, rel=1e-10)


def test_each_kind_of_key_has_the_interval_that_was_laid_down_for_it(make_case, head_evidence):
    states = {
        finding.key.removeprefix("calibration."): type(finding.interval.state) if finding.interval else None
        for finding in audited(make_case, head_evidence)
        if isinstance(finding, Measurement)
    }

    binned = {"ece", "ece_over", "ece_under", "ece_equal_mass", "mce", "l2_debiased", "ece_heldout"}
    binned |= {"ece_after_temperature", "ece_after_feature_scale"}
    means = {"signed_gap", "nll", "brier", "nll_heldout", "nll_after_temperature"}
    none = {"ece_classwise", "smooth_ece", "null_ece", "temperature", "feature_scale"}
    assert states == {
        **dict.fromkeys(binned, Replicates),
        **dict.fromkeys(means, Mean),
        **dict.fromkeys(none, None),
        "top1_after_feature_scale": Counts,
    }


def test_the_order_of_the_images_changes_nothing_but_rounding(make_case, head_evidence, rng):
    shuffled = rng.permutation(len(head_evidence))
    moved = replace(
        head_evidence,
        ids=tuple(head_evidence.ids[row] for row in shuffled),
        labels=head_evidence.labels[shuffled],
        logits=head_evidence.logits[shuffled],
        features=head_evidence.features[shuffled],
    )

    before = [finding for finding in audited(make_case, head_evidence) if isinstance(finding, Measurement)]
    after = [finding for finding in audited(make_case, moved) if isinstance(finding, Measurement)]

    for one, other in zip(before, after, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-9, abs=1e-12)
        if one.interval:
            assert other.interval.low == pytest.approx(one.interval.low, rel=1e-6, abs=1e-9)
            assert other.interval.high == pytest.approx(one.interval.high, rel=1e-6, abs=1e-9)


def test_the_same_seed_gives_the_same_findings_and_another_seed_another_split(make_case, head_evidence):
    same = [values(audited(make_case, head_evidence, seed=seed)) for seed in (3, 3, 4)]

    assert same[0] == same[1]
    assert same[0]["calibration.temperature"] != same[2]["calibration.temperature"]
    assert same[0]["calibration.ece"] == same[2]["calibration.ece"]


def test_temperature_and_feature_scale_are_fitted_on_images_that_are_not_reported_on(make_case, head_evidence):
    findings = audited(make_case, head_evidence)
    fit = figure(findings, "calibration.fit")
    counted = {finding.key: finding.n for finding in findings if isinstance(finding, Measurement)}

    assert fit["fit_images"] + fit["held_out_images"] == len(head_evidence)
    for key in ("ece_heldout", "ece_after_temperature", "ece_after_feature_scale", "top1_after_feature_scale"):
        assert counted[f"calibration.{key}"] == fit["held_out_images"]


def test_logits_that_were_sharpened_get_their_temperature_back(make_case, logits_evidence, rng):
    logits = rng.normal(0, 2, (8000, 6))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)

    found = values(audited(make_case, logits_evidence(3 * logits, labels)))

    assert found["calibration.temperature"] == pytest.approx(3, rel=0.06)
    assert found["calibration.ece_after_temperature"] < 0.3 * found["calibration.ece_heldout"]
    assert found["calibration.nll_after_temperature"] < found["calibration.nll_heldout"]
    assert found["calibration.signed_gap"] > 0
    assert found["calibration.ece_over"] > 10 * found["calibration.ece_under"]


def test_without_a_bias_scale_times_temperature_is_one_and_accuracy_stays(make_case, head_evidence, make_evidence):
    bias_free = make_evidence(head_evidence.features, head_evidence.labels, head_evidence.weight)
    findings = audited(make_case, bias_free)
    found = values(findings)
    curve = figure(findings, "calibration.feature_scaling")["feature_scale"]

    assert figure(findings, "calibration.fit")["product"] == pytest.approx(1, abs=1e-9)
    assert found["calibration.ece_after_feature_scale"] == pytest.approx(found["calibration.ece_after_temperature"])
    assert len(set(curve["accuracy"])) == 1


def test_a_bias_lets_the_feature_scale_change_accuracy_but_never_the_temperature(make_case, head_evidence):
    data = figure(audited(make_case, head_evidence), "calibration.feature_scaling")

    assert len(set(data["feature_scale"]["accuracy"])) > 1
    assert len(set(data["temperature"]["accuracy"])) == 1


def test_the_curves_meet_the_held_out_figures_where_nothing_is_scaled(make_case, head_evidence):
    findings = audited(make_case, head_evidence)
    found, data = values(findings), figure(findings, "calibration.feature_scaling")

    for curve in (data["feature_scale"], data["temperature"]):
        unscaled = curve["value"].index(1.0)
        assert curve["ece"][unscaled] == pytest.approx(found["calibration.ece_heldout"], abs=1e-9)
        assert curve["nll"][unscaled] == pytest.approx(found["calibration.nll_heldout"], abs=1e-9)


def test_the_reliability_figure_adds_up_to_the_error(make_case, head_evidence):
    findings = audited(make_case, head_evidence)
    data = figure(findings, "calibration.reliability")
    occupied = [b for b in range(15) if data["count"][b]]

    total = sum(data["count"][b] * abs(data["confidence"][b] - data["accuracy"][b]) for b in occupied)
    assert total / 600 == pytest.approx(values(findings)["calibration.ece"], abs=1e-12)
    assert sum(data["count"]) == 600
    assert len(data["edge"]) == 16
    assert all(data["edge"][b] < data["confidence"][b] <= data["edge"][b + 1] for b in occupied)
    assert all(data["accuracy"][b] is None for b in range(15) if not data["count"][b])


def test_confidences_of_exactly_one_are_counted(make_case, logits_evidence):
    logits = np.array([[800.0, 0], [40.0, 0], [2.0, 0], [0, 900.0]])

    data = figure(audited(make_case, logits_evidence(logits, np.array([0, 0, 1, 0]))), "calibration.reliability")

    assert data["n_conf_eq_1"] == 3


def test_an_error_that_chance_explains_is_said_to_be_so_and_a_larger_one_is_not(make_case, logits_evidence, rng):
    logits = rng.normal(0, 2, (500, 6))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)

    calibrated = audited(make_case, logits_evidence(logits, labels))
    sharpened = audited(make_case, logits_evidence(4 * logits, labels))

    assert [f.code for f in calibrated if isinstance(f, Notice)] == ["calibration-error-within-chance"]
    assert not [f for f in sharpened if isinstance(f, Notice)]
    assert figure(calibrated, "calibration.null_band")["p_value"] > 0.05
    assert figure(sharpened, "calibration.null_band")["p_value"] == pytest.approx(1 / 201)


def test_figures_are_strict_json(make_case, head_evidence, logits_evidence, rng):
    few = logits_evidence(rng.normal(size=(3, 2)), np.array([0, 1, 1]))
    for evidence in (head_evidence, few):
        for finding in audited(make_case, evidence):
            if isinstance(finding, Figure):
                json.dumps(finding.data, allow_nan=False)


def test_more_bins_can_be_asked_for(make_case, head_evidence):
    findings = audited(make_case, head_evidence, CalibrationParameters(bins=40, resamples=200))

    assert len(figure(findings, "calibration.reliability")["count"]) == 40


@pytest.mark.parametrize("raw", [{"bins": 1}, {"resamples": 10}, {"fit_fraction": 1.0}, {"bin": 15}])
def test_parameters_that_make_no_sense_are_refused(raw):
    with pytest.raises(InvalidProfile):
        bind("calibration", raw)


def test_the_interval_of_the_error_covers_the_truth_about_as_often_as_it_says(make_case, logits_evidence):
    runs, n, truth, covered = 60, 1000, 0.1, 0
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        confidence = generator.choice([0.6, 0.7, 0.8, 0.9], n)
        logits = np.stack([np.log(confidence / (1 - confidence)), np.zeros(n)], axis=1)
        labels = (generator.random(n) > confidence - truth).astype(int)
        findings = audited(make_case, logits_evidence(logits, labels))
        ece = next(f for f in findings if isinstance(f, Measurement) and f.key == "calibration.ece")
        covered += ece.interval.low <= truth <= ece.interval.high

    assert covered / runs >= 0.88


def test_a_robustly_trained_network_is_under_confident(assets, make_case, logits_evidence):
    network = nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2048, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    network.load_state_dict(torch.load(assets / "cifar10" / "cnn_a_mix.pth", weights_only=True))
    with np.load(assets / "cifar10" / "cifar10_test_250.npz") as stored:
        images, labels = stored["images"], stored["labels"]
    mean, std = (np.array(v, dtype=np.float32) for v in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
    pixels = torch.from_numpy(((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        logits = network(pixels).numpy()

    found = values(audited(make_case, logits_evidence(logits, labels)))

    assert abs(int((logits.argmax(axis=1) == labels).sum()) - 192) <= 1
    assert found["calibration.signed_gap"] < -0.02
    assert found["calibration.ece_under"] > found["calibration.ece_over"]
    assert found["calibration.temperature"] < 1
    assert math.isfinite(found["calibration.smooth_ece"])
