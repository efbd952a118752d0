import json
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from repaudit.audits import bind
from repaudit.audits.cones import ConesParameters, run
from repaudit.errors import InvalidProfile
from repaudit.finding import Column, Figure, Measurement, Skipped


@pytest.fixture
def evidence(rng, make_evidence):
    weight, bias = rng.standard_normal((5, 8)), rng.standard_normal(5)
    features = rng.standard_normal((300, 8))
    answers = (features @ weight.T + bias).argmax(axis=1)
    labels = np.where(rng.random(300) < 0.7, answers, rng.integers(0, 5, 300))
    return make_evidence(features, labels, weight, bias)


def by_key(findings, kind):
    return {(f.name if kind is Column else f.key): f for f in findings if isinstance(f, kind)}


def test_mean_share_histogram_and_columns_tell_one_story(evidence, make_case):
    findings = list(run(make_case(evidence, ConesParameters())))
    measured, columns = by_key(findings, Measurement), by_key(findings, Column)
    figure = by_key(findings, Figure)["cones.steps"].data

    correct = evidence.logits.argmax(axis=1) == evidence.labels
    steps = columns["first_error_step"].values
    assert measured["cones.first_error_step"].n == measured["cones.never_share"].n == correct.sum()
    assert measured["cones.first_error_step"].value == pytest.approx(steps[correct].mean())
    assert measured["cones.first_error_step"].interval.state.sd == pytest.approx(steps[correct].std(ddof=1))
    assert sum(figure["first_misclassified"]) + figure["never"] == correct.sum()
    mean = sum(s * c for s, c in zip(figure["step"], figure["first_misclassified"], strict=True))
    assert measured["cones.first_error_step"].value == pytest.approx((mean + 100 * figure["never"]) / correct.sum())
    assert measured["cones.never_share"].value == figure["never"] / correct.sum()
    assert (np.isnan(columns["s_hi"].values) == ~correct).all()
    assert len(steps) == len(evidence)


def test_figures_are_strict_json(evidence, make_case):
    figures = by_key(run(make_case(evidence, ConesParameters())), Figure)

    assert json.loads(json.dumps(figures["cones.steps"].data, allow_nan=False)) == figures["cones.steps"].data


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_a_head_without_differences_of_bias_is_a_cone_and_not_tested(rng, make_evidence, make_case, bias):
    features, weight = rng.standard_normal((20, 4)), rng.standard_normal((3, 4))
    evidence = make_evidence(features, np.zeros(20, dtype=int), weight, np.full(3, bias))

    findings = list(run(make_case(evidence, ConesParameters())))

    assert {f.key for f in findings if isinstance(f, Skipped)} == {"cones.first_error_step", "cones.never_share"}
    assert len(findings) == 2
    assert all("exactly a cone" in f.reason for f in findings)


def test_without_a_linear_head_the_reason_of_the_classifier_is_given(logits_evidence, make_classifier, make_case, rng):
    classifier = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
    head = replace(classifier.card.head, kind="none", reason="ends in a pooled convolution")
    classifier.card = replace(classifier.card, head=head)
    evidence = logits_evidence(rng.standard_normal((9, 4)), np.zeros(9, dtype=int))

    findings = list(run(make_case(evidence, ConesParameters(), classifier=classifier)))

    assert {f.reason for f in findings} == {"ends in a pooled convolution"}
    assert len(findings) == 2


def test_without_a_correct_image_nothing_is_guessed(rng, make_evidence, make_case):
    features = np.abs(rng.standard_normal((20, 2)))
    weight, bias = np.array([[5.0, 5.0], [0.0, 0.0]]), np.array([1.0, 0.0])
    evidence = make_evidence(features, np.ones(20, dtype=int), weight, bias)

    findings = list(run(make_case(evidence, ConesParameters())))

    assert [f.reason for f in findings] == ["no image is classified correctly"] * 2


def test_an_unknown_parameter_is_refused():
    with pytest.raises(InvalidProfile, match="no parameter `steps`"):
        bind("cones", {"steps": 50})
