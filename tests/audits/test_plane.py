"""What is drawn of a plane of features is what the head and the features are."""

import json

import numpy as np
import pytest

from repaudit.audits.plane import MOST_CLASSES, PlaneParameters, run
from repaudit.finding import Figure, Measurement, Notice, Skipped

STAR = np.array([[1.0, 0.0], [-0.5, 0.75], [-0.5, -0.75], [0.0, 0.0]])


@pytest.fixture
def evidence(rng, make_evidence):
    labels = np.repeat(np.arange(4), 25)
    return make_evidence(4 * STAR[labels] + 0.3 * rng.standard_normal((100, 2)), labels, STAR, np.array([0, 0, 0, 0.5]))


def kinds(findings, kind):
    return {finding.key: finding for finding in findings if isinstance(finding, kind)}


def test_the_drawing_holds_the_head_the_means_and_a_sample_of_the_features(evidence, make_case):
    figures = kinds(run(make_case(evidence, PlaneParameters(sample=40))), Figure)
    classes, sample = figures["plane.classes"].data, figures["plane.features"].data

    assert classes["weight"] == STAR.tolist()
    assert classes["bias"] == [0, 0, 0, 0.5]
    right = evidence.logits.argmax(axis=1) == evidence.labels
    for label in range(4):
        mean = evidence.features[right & (evidence.labels == label)].mean(axis=0)
        assert classes["mean"][label] == pytest.approx(mean.tolist(), rel=1e-3)
    assert np.bincount(sample["label"]).tolist() == [10, 10, 10, 10]
    kept = {tuple(float(f"{value:.4g}") for value in row) for row in evidence.features.tolist()}
    assert {tuple(row) for row in sample["feature"]} <= kept
    assert json.loads(json.dumps(figures["plane.classes"].data, allow_nan=False)) == classes


def test_a_class_surrounded_by_the_others_alone_has_a_minimum(evidence, make_case):
    findings = list(run(make_case(evidence, PlaneParameters())))
    classes = kinds(findings, Figure)["plane.classes"].data

    assert classes["finite"] == [False, False, False, True]
    assert kinds(findings, Measurement)["plane.finite_minima"].value == 0.25
    assert kinds(findings, Measurement)["plane.variance_share"].value == pytest.approx(1)


def test_wide_features_are_skipped_with_the_command_that_makes_narrow_ones(rng, make_evidence, make_case):
    wide = make_evidence(rng.standard_normal((20, 5)), np.arange(20) % 3, rng.standard_normal((3, 5)))
    findings = list(run(make_case(wide, PlaneParameters())))

    assert "repaudit train --bottleneck 2" in kinds(findings, Skipped)["plane.finite_minima"].reason
    assert set(kinds(findings, Measurement)) == {"plane.variance_share"}
    assert not kinds(findings, Figure)


def test_a_model_that_is_never_right_has_a_plane_without_minima(rng, make_evidence, make_case):
    features = rng.standard_normal((30, 2))
    wrong = (features @ STAR.T).argmin(axis=1)
    findings = list(run(make_case(make_evidence(features, wrong, STAR), PlaneParameters())))

    assert "no image is classified correctly" in kinds(findings, Skipped)["plane.finite_minima"].reason
    assert kinds(findings, Figure)["plane.classes"].data["minimum"] == [None] * 4


def test_rows_of_thousands_of_classes_are_not_kept(rng, make_evidence, make_case):
    count = MOST_CLASSES + 1
    angles = 2 * np.pi * np.arange(count) / count
    weight = np.column_stack([np.cos(angles), np.sin(angles)])
    findings = list(run(make_case(make_evidence(3 * weight[:5], np.arange(5), weight), PlaneParameters())))

    assert set(kinds(findings, Figure)) == {"plane.features"}
    assert any(isinstance(finding, Notice) and "1,001 classes" in finding.message for finding in findings)


def test_the_data_of_a_drawing_take_less_than_fifty_kilobytes(rng, make_evidence, make_case):
    weight = rng.standard_normal((100, 3))
    labels = np.arange(2000) % 100
    case = make_case(
        make_evidence(weight[labels] + rng.standard_normal((2000, 3)), labels, weight), PlaneParameters(sample=500)
    )
    figures = kinds(run(case), Figure)

    assert len(json.dumps({key: figure.data for key, figure in figures.items()})) < 50_000
