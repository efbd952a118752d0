import json
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pytest
from torch import nn

from repaudit.audits import bind
from repaudit.audits.geometry import GeometryParameters, audit, run
from repaudit.errors import InvalidProfile
from repaudit.finding import Column, Figure, Measurement, Notice, Skipped
from repaudit.metrics.cones import ray_limits


def blobs(rng, images=600, classes=5, width=9, noise=0.6):
    """Features around class means, and a head of those means that is right mostly but not always."""
    means = rng.standard_normal((classes, width))
    labels = rng.integers(0, classes, images)
    features = means[labels] + noise * rng.standard_normal((images, width))
    return features, labels, means, 0.5 * rng.standard_normal(classes)


@pytest.fixture
def evidence(rng, make_evidence):
    return make_evidence(*blobs(rng))


@pytest.fixture
def examine(make_case):
    """Everything that the audit says of some evidence."""

    def examine(evidence, *, seed=0, **parameters):
        return list(run(make_case(evidence, GeometryParameters(**parameters), seed=seed)))

    return examine


def measurements(findings):
    return {f.key: f for f in findings if isinstance(f, Measurement)}


def skipped(findings):
    return {f.key: f.reason for f in findings if isinstance(f, Skipped)}


def figures(findings):
    return {f.key: f.data for f in findings if isinstance(f, Figure)}


def columns(findings):
    return {f.name: f.values for f in findings if isinstance(f, Column)}


@pytest.mark.parametrize("center", ["sphere", "sgd"])
def test_every_declared_key_is_measured_or_skipped_once_and_no_other(evidence, examine, center):
    findings = examine(evidence, center=center)
    said = [f.key for f in findings if isinstance(f, Measurement | Skipped)]

    assert sorted(said) == sorted(audit.keys)


def test_without_any_correct_image_every_declared_key_is_still_accounted_for(rng, make_evidence, examine):
    features, _, weight, bias = blobs(rng)
    worst = (features @ weight.T + bias).argmin(axis=1)

    findings = examine(make_evidence(features, worst, weight, bias))

    said = [f.key for f in findings if isinstance(f, Measurement | Skipped)]
    assert sorted(said) == sorted(audit.keys)
    reasons = skipped(findings)
    assert reasons["geometry.cosine.weight_vector"] == "no image is classified correctly"
    assert "no image is classified correctly" in reasons["geometry.cosine.minimum_loss"]
    assert "no image is classified correctly" in reasons["geometry.spearman.minimum_loss_predicted"]
    assert reasons["geometry.bias_dependence"] == "no image is classified correctly"
    assert "geometry.rms" in measurements(findings)


def test_means_equal_plain_recomputation_on_the_images_they_name(evidence, examine):
    findings = examine(evidence)
    found, per_image = measurements(findings), columns(findings)
    f, labels = evidence.features.astype(np.float64), evidence.labels
    correct = evidence.logits.argmax(axis=1) == labels
    rms = np.sqrt((f**2).mean(axis=1))
    centers = {
        "class_mean": np.array([f[correct & (labels == c)].mean(axis=0) for c in range(5)]),
        "weight_vector": evidence.weight.astype(np.float64),
        "weight_centered": evidence.weight - evidence.weight.astype(np.float64).mean(axis=0),
    }

    assert 0 < correct.sum() < len(labels)
    assert found["geometry.rms"].value == pytest.approx(rms.mean(), rel=1e-12)
    assert found["geometry.rms"].interval.state.sd == pytest.approx(rms.std(ddof=1), rel=1e-12)
    assert found["geometry.weight_norm"].value == pytest.approx(np.linalg.norm(evidence.weight, axis=1).mean())
    assert found["geometry.bias_abs"].value == pytest.approx(np.abs(evidence.bias).mean())
    confidence = evidence.summary.confidence
    for name, rows in centers.items():
        chosen = rows[labels]
        cosines = (f * chosen).sum(axis=1) / np.linalg.norm(f, axis=1) / np.linalg.norm(chosen, axis=1)
        chosen = rows[evidence.logits.argmax(axis=1)]
        predicted = (f * chosen).sum(axis=1) / np.linalg.norm(f, axis=1) / np.linalg.norm(chosen, axis=1)
        key = f"geometry.cosine.{name}"
        assert (found[key].value, found[key].n) == (pytest.approx(cosines[correct].mean()), correct.sum())
        pearson = found[f"geometry.pearson.{name}"]
        assert (pearson.value, pearson.n) == (pytest.approx(np.corrcoef(cosines, confidence)[0, 1]), len(labels))
        pearson = found[f"geometry.pearson.{name}_correct"]
        expected = np.corrcoef(cosines[correct], confidence[correct])[0, 1]
        assert (pearson.value, pearson.n) == (pytest.approx(expected), correct.sum())
        pearson = found[f"geometry.pearson.{name}_predicted"]
        assert pearson.value == pytest.approx(np.corrcoef(predicted, confidence)[0, 1])
        if name != "weight_centered":
            assert per_image[f"cosine_{name}"] == pytest.approx(cosines, abs=1e-12)
    assert per_image["norm"] == pytest.approx(np.linalg.norm(f, axis=1))


def test_leave_one_out_lowers_the_cosine_with_the_class_mean(rng, make_evidence, examine):
    # Pure noise, right by construction: its mean aligns with each image only because it contains it
    features = rng.standard_normal((40, 200))
    labels = np.arange(40) % 4
    weight = np.array([features[labels == c].sum(axis=0) for c in range(4)])

    found = measurements(examine(make_evidence(features, labels, weight, np.array([0.0, 0.1, 0.0, 0.0]))))

    assert found["geometry.cosine.class_mean"].value == pytest.approx(1 / np.sqrt(10), abs=0.05)
    assert found["geometry.cosine.class_mean_loo"].value == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("center", ["sphere", "sgd"])
def test_rotating_features_and_weights_changes_no_measurement(rng, make_evidence, examine, center):
    features, labels, weight, bias = blobs(rng)
    rotation, _ = np.linalg.qr(rng.standard_normal((9, 9)))

    before = measurements(examine(make_evidence(features, labels, weight, bias), center=center))
    after = measurements(examine(make_evidence(features @ rotation, labels, weight @ rotation, bias), center=center))

    assert before.keys() == after.keys()
    for key, finding in before.items():
        assert after[key].value == pytest.approx(finding.value, rel=1e-4, abs=1e-5), key


def test_a_vector_common_to_all_rows_changes_only_what_is_said_of_raw_rows(rng, make_evidence, examine):
    features, labels, weight, bias = blobs(rng)
    common = rng.standard_normal(9)
    # The logits move alike, so that predictions and confidences stay
    before = measurements(examine(make_evidence(features, labels, weight, bias)))
    after = measurements(examine(make_evidence(features, labels, weight + common, bias)))

    raw = {key for key in before if "weight_vector" in key} | {"geometry.weight_norm", "collapse.nc3"}
    changed = {key for key in before if after[key].value != pytest.approx(before[key].value, rel=1e-3, abs=1e-4)}
    assert "geometry.pearson.weight_vector" in changed
    assert changed <= raw


def test_bias_dependence_and_its_figure_count_rays_with_an_upper_end(evidence, examine):
    correct = evidence.logits.argmax(axis=1) == evidence.labels
    upper = ray_limits(evidence.logits, evidence.bias, evidence.labels, correct).upper
    shares = [np.isfinite(upper[correct & (evidence.labels == c)]).mean() for c in range(5)]

    findings = examine(evidence)
    found, figure = measurements(findings)["geometry.bias_dependence"], figures(findings)["geometry.bias"]

    assert found.value == pytest.approx(np.mean(shares)) == pytest.approx(figure["dependence_mean"])
    assert found.n == 5
    assert found.interval.state.sd == pytest.approx(np.std(shares, ddof=1))
    assert figure["dependence_pooled"] == pytest.approx(np.isfinite(upper[correct]).mean())


def test_a_head_without_differences_of_bias_has_no_bias_dependence_to_measure(rng, make_evidence, examine):
    features, labels, weight, _ = blobs(rng)

    findings = examine(make_evidence(features, labels, weight))

    assert "exactly a cone" in skipped(findings)["geometry.bias_dependence"]
    assert measurements(findings)["geometry.bias_abs"].value == 0


def test_a_class_without_correct_images_is_left_out_and_counted(rng, make_evidence, examine):
    features, labels, weight, bias = blobs(rng)
    bias[3] = -1000.0
    findings = examine(make_evidence(features, labels, weight, bias))

    found = measurements(findings)
    lost = labels == 3
    assert figures(findings)["geometry.centers"]["class_mean"]["classes_without_correct_images"] == 1
    assert figures(findings)["geometry.bias"]["classes_undefined"] == 1
    assert found["geometry.bias_dependence"].n == 4
    assert np.isnan(columns(findings)["cosine_class_mean"][lost]).all()
    assert np.isfinite(columns(findings)["cosine_class_mean"][~lost]).all()
    assert found["geometry.pearson.class_mean"].n == (~lost).sum()


def test_features_of_norm_zero_are_counted_and_have_no_cosine(rng, make_evidence, examine):
    features, labels, weight, bias = blobs(rng)
    features[:7] = 0

    findings = examine(make_evidence(features, labels, weight, bias))

    assert figures(findings)["geometry.centers"]["features_of_norm_zero"] == 7
    assert np.isnan(columns(findings)["cosine_minimum_loss"][:7]).all()
    assert measurements(findings)["geometry.row_space_share"].n == 593


def test_small_classes_are_announced_as_leave_one_out_only(rng, make_evidence, examine):
    few = examine(make_evidence(*blobs(rng, images=40)))
    many = examine(make_evidence(*blobs(rng, images=600)))

    assert [f.code for f in few if isinstance(f, Notice)] == ["few-images-per-class"]
    assert [f.code for f in many if isinstance(f, Notice)] == []


def test_a_tolerance_below_rounding_is_announced_as_not_reached(rng, make_evidence, examine):
    features, labels, weight, bias = blobs(rng, classes=30, width=20)

    tight = examine(make_evidence(features, labels, 10 * weight, bias), tolerance=1e-300)

    assert "minimum-loss-unsolved" in [f.code for f in tight if isinstance(f, Notice)]
    assert figures(tight)["geometry.centers"]["minimum_loss"]["classes_unsolved"] > 0


@pytest.mark.parametrize(("confidence", "headline"), [(0.985, "pearson"), (0.995, "spearman")])
def test_the_headline_is_spearman_where_the_median_confidence_exceeds_ninety_nine_percent(
    rng, make_evidence, examine, confidence, headline
):
    # Two opposite rows of length 1: the confidence of a feature is the logistic function of twice its first entry
    side = np.arange(41) % 2
    first = np.log(confidence / (1 - confidence)) / 2 + 0.1 * np.linspace(-1, 1, 41)
    features = np.stack([np.where(side == 0, first, -first), rng.standard_normal(41)], axis=1)

    findings = examine(make_evidence(features, side, np.array([[1.0, 0.0], [-1.0, 0.0]])))

    assert figures(findings)["geometry.centers"]["median_confidence"] == pytest.approx(confidence, abs=1e-6)
    assert figures(findings)["geometry.centers"]["headline_correlation"] == headline


def test_the_ball_has_the_mean_norm_of_correct_features_as_its_radius(evidence, examine):
    correct = evidence.logits.argmax(axis=1) == evidence.labels

    found = figures(examine(evidence))["geometry.centers"]["minimum_loss"]

    assert found["radius"] == pytest.approx(np.linalg.norm(evidence.features[correct], axis=1).mean(), rel=1e-6)


def test_row_space_share_is_measured_only_where_features_are_wider_than_the_contrasts(rng, make_evidence, examine):
    wide = examine(make_evidence(*blobs(rng, classes=5, width=9)))
    narrow = examine(make_evidence(*blobs(rng, classes=12, width=4)))

    assert 0 < measurements(wide)["geometry.row_space_share"].value < 1
    assert figures(wide)["geometry.row_space"]["rank"] == 4
    assert "the share is 1" in skipped(narrow)["geometry.row_space_share"]
    assert "collapse.nc2_coherence" in measurements(narrow)
    assert "no simplex" in skipped(narrow)["collapse.nc2_angle"]


def test_worst_aligned_angles_are_those_of_the_two_lowest_cosines_of_confident_images(rng, make_evidence, examine):
    features, labels, weight, bias = blobs(rng, noise=0.4)
    labels[:50] = (labels[:50] + 1) % 5  # confident and wrong: not in question
    evidence = make_evidence(features, labels, 3 * weight, bias)
    findings = examine(evidence)
    data, cosines = figures(findings)["geometry.worst_aligned"], columns(findings)["cosine_minimum_loss"]
    sure = (evidence.logits.argmax(axis=1) == labels) & (evidence.summary.confidence > 0.99)

    assert len(data["class"]) == 5
    for label, angle in zip(data["class"], data["angle_degrees"], strict=True):
        rows = np.flatnonzero(sure & (labels == label))
        first, second = features[rows[np.argsort(cosines[rows])[:2]]]
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        assert angle == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-3)


def test_the_scatter_is_a_sample_that_depends_on_the_seed_alone(rng, make_evidence, examine):
    evidence = make_evidence(*blobs(rng, images=2500))

    first, again, other = (figures(examine(evidence, seed=seed))["geometry.scatter"] for seed in (0, 0, 1))

    assert len(first["rms"]) == len(first["cosine_minimum_loss"]) == 1000
    assert first == again
    assert first["rms"] != other["rms"]


def test_figures_are_strict_json_and_histograms_hold_every_image_once(evidence, examine):
    data = figures(examine(evidence))

    json.dumps(data, allow_nan=False)
    correct = int(evidence.summary.correct.sum())
    for name in ("class_mean", "weight_vector", "weight_centered", "minimum_loss", "class_mean_loo"):
        assert sum(data["geometry.cosine_histogram"][name]) == correct


def test_without_a_linear_head_all_is_skipped_with_the_reason_of_the_classifier(
    logits_evidence, make_classifier, make_case, rng
):
    classifier = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
    head = replace(classifier.card.head, kind="none", reason="ends in a pooled convolution")
    classifier.card = replace(classifier.card, head=head)
    evidence = logits_evidence(rng.standard_normal((9, 4)), np.zeros(9, dtype=int))

    findings = list(run(make_case(evidence, GeometryParameters(), classifier=classifier)))

    assert {f.reason for f in findings} == {"ends in a pooled convolution"}
    assert all(any(fnmatchcase(key, f.key) for f in findings) for key in audit.keys)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"center": "cube"}, "`center` cannot be 'cube'"),
        ({"sgd_steps": 0}, "`sgd_steps` cannot be 0"),
        ({"centre": "sphere"}, "no parameter `centre`"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(raw, message):
    with pytest.raises(InvalidProfile, match=message):
        bind("geometry", raw)
