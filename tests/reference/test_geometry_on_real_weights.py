"""Two robust CIFAR-10 networks: figures measured independently on 1,017 images, here on 250 of them."""

import numpy as np
import pytest

from repaudit.audits.cones import ConesParameters
from repaudit.audits.cones import run as run_cones
from repaudit.audits.geometry import GeometryParameters
from repaudit.audits.geometry import run as run_geometry
from repaudit.evidence import collect
from repaudit.finding import Measurement
from repaudit.metrics.bias import bias_dependence
from repaudit.metrics.cones import first_error_steps, ray_limits
from repaudit.metrics.frank_wolfe import sphere_centers
from repaudit.progress import SilentProgress


@pytest.fixture(params=["cnn_a_mix", "resnet2b"])
def real(request, real_network, cifar_images):
    """Name and evidence of one network."""
    classifier = real_network(request.param)
    return request.param, collect(classifier, cifar_images(250), rows=250, progress=SilentProgress()).evidence


PUBLISHED = {
    "cnn_a_mix": {
        "correct": 192,
        "geometry.rms": (5.42, 0.25),
        "geometry.bias_abs": (0.540, 0.0005),
        "geometry.bias_dependence": (0.107, 0.05),
        "cones.first_error_step": (76.4, 4.0),
        "cones.never_share": (0.071, 0.04),
        "geometry.pearson.class_mean": (0.468, 0.12),
        "geometry.pearson.weight_vector": (0.233, 0.12),
        "geometry.pearson.minimum_loss": (0.770, 0.07),
        "geometry.spearman.minimum_loss": (0.818, 0.07),
    },
    "resnet2b": {
        "correct": 168,
        "geometry.rms": (1.028, 0.05),
        "geometry.bias_abs": (0.198, 0.0005),
        "geometry.bias_dependence": (0.112, 0.06),
        "cones.first_error_step": (81.4, 4.0),
        "cones.never_share": (0.056, 0.04),
        "geometry.pearson.class_mean": (0.484, 0.12),
        "geometry.pearson.weight_vector": (0.583, 0.12),
        "geometry.pearson.minimum_loss": (0.695, 0.08),
        "geometry.spearman.minimum_loss": (0.730, 0.08),
    },
}


def test_figures_lie_near_those_measured_on_more_images(real, make_case):
    name, evidence = real
    published = dict(PUBLISHED[name])
    findings = [
        *run_geometry(make_case(evidence, GeometryParameters())),
        *run_cones(make_case(evidence, ConesParameters())),
    ]
    measured = {finding.key: finding.value for finding in findings if isinstance(finding, Measurement)}

    assert abs(int(evidence.summary.correct.sum()) - published.pop("correct")) <= 1
    for key, (value, tolerance) in published.items():
        assert measured[key] == pytest.approx(value, abs=tolerance), key


def test_closed_forms_equal_the_loops_on_every_image(real):
    _, evidence = real
    features, weight = evidence.features.astype(np.float64), evidence.weight.astype(np.float64)
    bias, labels = evidence.bias.astype(np.float64), evidence.labels
    logits = features @ weight.T + bias
    correct = logits.argmax(axis=1) == labels
    first = np.full(len(labels), 100)
    for step in range(100, 0, -1):
        first[((1 - step / 100) * features @ weight.T + bias).argmax(axis=1) != labels] = step
    unbiased = (features @ weight.T).argmax(axis=1)

    steps = first_error_steps(ray_limits(logits, bias, labels, correct).lower)
    dependence = bias_dependence(logits, bias, labels, correct)

    assert (steps.step[correct] == first[correct]).all()
    assert dependence.lost.sum() == (correct & (unbiased != labels)).sum()
    assert dependence.caused_errors == (~correct & (unbiased == labels)).sum()


def test_a_common_vector_moves_raw_weight_cosines_but_not_the_minimum_loss_centre(real, rng):
    _, evidence = real
    radius = float(np.linalg.norm(evidence.features, axis=1).mean())
    common = 0.3 * rng.standard_normal(100)

    before = sphere_centers(evidence.weight, evidence.bias, radius, np.arange(10), tolerance=1e-9)
    after = sphere_centers(evidence.weight + common, evidence.bias, radius, np.arange(10), tolerance=1e-9)

    assert after.points == pytest.approx(before.points, abs=1e-5 * radius)
    assert before.misalignment.max() < 1e-6
