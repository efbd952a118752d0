"""The selective-prediction audit: its one number and its curve."""

import json

import numpy as np
import pytest

from repaudit.audits.selective import POINTS, SelectiveParameters, audit, run
from repaudit.finding import Figure, Measurement


def audited(make_case, evidence):
    findings = list(run(make_case(evidence, SelectiveParameters())))
    measurement, figure = findings
    assert isinstance(measurement, Measurement)
    assert isinstance(figure, Figure)
    return measurement, figure.data


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 1234])
def test_the_curve_has_few_points_and_ends_with_all_images_at_the_error_rate(make_case, logits_evidence, rng, n):
    logits, labels = rng.normal(0, 2, (n, 3)), rng.integers(0, 3, n)

    measurement, curve = audited(make_case, logits_evidence(logits, labels))

    assert len(curve["coverage"]) == len(curve["risk"]) == len(curve["threshold"]) == min(n, POINTS)
    assert curve["coverage"][-1] == 1
    assert curve["risk"][-1] == pytest.approx((logits.argmax(axis=1) != labels).mean())
    assert np.all(np.diff(curve["coverage"]) > 0)
    assert np.all(np.diff(curve["threshold"]) <= 0)
    assert measurement.n == n
    json.dumps(curve, allow_nan=False)


def test_a_model_that_knows_its_errors_pays_only_for_the_errors_at_the_end_and_one_that_does_not_for_all(
    make_case, logits_evidence
):
    labels = np.zeros(200, dtype=int)
    right = np.arange(200) < 150
    sure = np.where(right, 4.0, -0.5)
    unaware = np.where(right, 2.0, -2.0)

    knowing = audited(make_case, logits_evidence(np.stack([sure, 0 * sure], axis=1), labels))[0]
    guessing = audited(make_case, logits_evidence(np.stack([unaware, 0 * sure], axis=1), labels))[0]

    assert guessing.value == pytest.approx(0.25)
    assert knowing.value == pytest.approx(sum((k - 150) / k for k in range(151, 201)) / 200)


def test_it_yields_the_keys_that_it_declares(make_case, logits_evidence, rng):
    measurement, _ = audited(make_case, logits_evidence(rng.normal(size=(9, 3)), rng.integers(0, 3, 9)))

    assert (measurement.key,) == audit.keys
    assert measurement.interval_reason == "not resampled: cost"
