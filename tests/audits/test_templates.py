"""The audit `templates` measures the projection that it draws."""

import json

import numpy as np
import pytest

from repaudit.audits import bind, load
from repaudit.audits.templates import TemplatesParameters, run
from repaudit.errors import InvalidProfile, UsageError
from repaudit.finding import Figure, Measurement, Skipped


@pytest.fixture
def evidence(rng, make_evidence):
    weight = rng.standard_normal((5, 8))
    labels = np.repeat(np.arange(5), 30)
    return make_evidence(weight[labels] + 0.5 * rng.standard_normal((150, 8)), labels, weight)


def kinds(findings, kind):
    return {finding.key: finding for finding in findings if isinstance(finding, kind)}


def test_the_share_is_that_of_the_variance_that_least_squares_explains(evidence, make_case):
    found = kinds(run(make_case(evidence, TemplatesParameters(classes=(4, 0, 2)))), Measurement)
    rows = evidence.features[np.isin(evidence.labels, [4, 0, 2])].astype(np.float64)
    away = rows - rows.mean(axis=0)
    span = (evidence.weight[[0, 2]] - evidence.weight[4]).T.astype(np.float64)
    residual = away.T - span @ np.linalg.lstsq(span, away.T, rcond=None)[0]

    assert found["templates.plane_share"].value == pytest.approx(1 - (residual**2).sum() / (away**2).sum())
    assert found["templates.plane_share"].n == 90


def test_features_at_their_templates_all_lie_nearest_to_their_own_mean(rng, make_evidence, make_case):
    weight, labels = rng.standard_normal((3, 6)), np.arange(30) % 3
    findings = list(run(make_case(make_evidence(weight[labels], labels, weight), TemplatesParameters())))
    figure = kinds(findings, Figure)["templates.projection"].data

    assert kinds(findings, Measurement)["templates.nearest_share"].value == 1
    assert kinds(findings, Measurement)["templates.plane_share"].value == pytest.approx(1)
    assert figure["template"] == figure["mean"]
    assert [figure["template"][place] for place in figure["of"]] == figure["place"]


def test_the_drawing_holds_a_sample_of_each_class_as_strict_json(evidence, make_case):
    data = kinds(run(make_case(evidence, TemplatesParameters(classes=(1, 3, 4), sample=30))), Figure)
    figure = data["templates.projection"].data

    assert np.bincount(figure["of"]).tolist() == [10, 10, 10]
    assert (figure["class"], figure["images"]) == ([1, 3, 4], 90)
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure


@pytest.mark.parametrize(
    ("classes", "labels", "reason"),
    [
        (None, [0, 1, 0, 1], "images of three classes"),
        ((0, 1, 2), [0, 1, 0, 1], "no image of class 2"),
        ((0, 1, 3), [0, 1, 2, 3], "lie on a line"),
    ],
)
def test_what_spans_no_plane_is_skipped_with_its_reason(make_evidence, make_case, classes, labels, reason):
    weight = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [2.0, 0.0, 1.0]])
    evidence = make_evidence(weight[labels], np.array(labels), weight)
    findings = list(run(make_case(evidence, TemplatesParameters(classes=classes))))

    assert {finding.key for finding in findings} == {"templates.plane_share", "templates.nearest_share"}
    assert all(isinstance(finding, Skipped) and reason in finding.reason for finding in findings)


def test_the_same_class_twice_is_refused():
    with pytest.raises(InvalidProfile, match="three different class indices"):
        bind("templates", {"classes": [1, 1, 2]})


def test_a_class_that_the_model_does_not_have_is_refused_before_anything_is_measured(evidence, make_case):
    classifier = make_case(evidence, TemplatesParameters()).classifier  # of two classes
    with pytest.raises(UsageError, match="names class 7; this model has"):
        load("templates").check(TemplatesParameters(classes=(0, 1, 7)), classifier, None)
