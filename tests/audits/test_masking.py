"""The masking battery names planted faults, passes honest networks, and never calls a guess a number."""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from repaudit.audits import bind
from repaudit.audits._masking_check import BATTERY, NOTICE, Excess, Gap
from repaudit.audits._masking_parameters import MaskingParameters
from repaudit.audits.masking import audit
from repaudit.case import Case, EvaluationShape, Permissions
from repaudit.classifier import Capability
from repaudit.data import DataRequest, open_images
from repaudit.errors import InvalidProfile
from repaudit.evidence import collect
from repaudit.finding import Figure, Measurement, Notice, Skipped
from repaudit.metrics.intervals import wilson
from repaudit.progress import SilentProgress
from repaudit.sources import load_model

N = 20
CHECKS = {
    "black_box_gap",
    "one_step_gap",
    "non_monotone",
    "survivors_half",
    "noise_ratio",
    "zero_gradient",
    "nonfinite_gradient",
    "restart_gain",
    "loss_stalled",
    "gradient_cosine",
    "planted_missed",
    "transfer_gap",
}


class Changed(nn.Module):
    """A network whose pixels or logits are changed on the way."""

    def __init__(self, classifier, pixels=None, logits=None):
        super().__init__()
        self.network, self.classifier = classifier.network, classifier
        self.pixels, self.logits = pixels, logits

    def forward(self, x):
        mean, std = self.classifier._mean, self.classifier._std
        if self.pixels is not None:
            x = (self.pixels(x * std + mean) - mean) / std
        answer = self.network(x)
        return answer if self.logits is None else self.logits(answer)


def changed(classifier, pixels=None, logits=None):
    classifier.network = Changed(classifier, pixels, logits).eval().requires_grad_(False)
    return classifier


def quantised(x):
    return (x * 255).round() / 255


def shattered(x):
    return x + 0.5 / 255 * torch.sin(2 * torch.pi * 510 * x)


def saturated(logits):
    return logits * 1e4


def poisoned(x):
    """NaN wherever a pixel is no multiple of 1/255."""
    off = ((x * 255 - (x * 255).round()).abs() > 1e-2).flatten(1).any(dim=1)
    return torch.where(off[:, None, None, None], torch.nan, x)


@pytest.fixture
def digits():
    return load_model("embedded:digits-cnn")


@pytest.fixture
def battery(digits):
    """All that the audit says of a classifier, by default of the digits network."""

    def run(classifier=digits, images=None, *, seed=0, calls=4, **parameters):
        images = digit_images(digits) if images is None else images
        evidence = collect(classifier, images, rows=16, progress=SilentProgress()).evidence
        case = Case(
            classifier=classifier,
            images=images,
            evidence=evidence,
            parameters=MaskingParameters(**{"queries": 60, **parameters}),
            seed=seed,
            shape=EvaluationShape(rows=16, calls=calls),
            progress=SilentProgress(),
        )
        return list(audit.run(case))

    return run


def digit_images(classifier, n=N):
    return open_images(
        DataRequest(
            ref="digits",
            preprocess=classifier.card.preprocess,
            classes_count=10,
            class_ids=classifier.card.class_ids,
            limit=n,
            seed=0,
            skip_bad_images=False,
            workers=0,
            progress=SilentProgress(),
        )
    )


def of(kind, found):
    name = "code" if kind is Notice else "key"
    return {getattr(finding, name): finding for finding in found if isinstance(finding, kind)}


def named(found, verdict="failed"):
    checks = of(Figure, found)[BATTERY].data
    return {name for name, check in checks.items() if check["verdict"] == verdict}


def test_an_honest_network_passes_every_check(battery):
    found = battery()

    assert named(found) == set()
    assert named(found, "passed") == CHECKS - {"transfer_gap"}
    assert NOTICE not in of(Notice, found)


@pytest.mark.slow
@pytest.mark.parametrize("radius", [0.5, 2, 16, 32])
def test_an_honest_network_passes_at_other_radii(battery, radius):
    assert named(battery(epsilon=radius / 255)) == set()


def test_quantised_input_is_named(battery, digits):
    failed = named(battery(changed(digits, pixels=quantised)))

    assert {"zero_gradient", "gradient_cosine", "loss_stalled", "planted_missed", "survivors_half"} <= failed
    assert not {"nonfinite_gradient", "one_step_gap", "restart_gain"} & failed


def test_saturated_softmax_is_named_by_the_gradients_at_every_step(battery, digits):
    found = battery(changed(digits, logits=saturated))

    assert {"zero_gradient", "gradient_cosine"} <= named(found)
    assert not {"nonfinite_gradient", "one_step_gap", "planted_missed", "loss_stalled"} & named(found)
    assert of(Measurement, found)["masking.zero_gradient"].value > 0.9


def test_shattered_gradients_are_named_as_no_slope_of_the_network(battery, digits):
    failed = named(battery(changed(digits, pixels=shattered)))

    assert "gradient_cosine" in failed
    assert not {"zero_gradient", "nonfinite_gradient", "loss_stalled"} & failed


def test_nan_off_the_8_bit_grid_is_named_and_nothing_is_guessed(battery, digits):
    found = battery(changed(digits, pixels=poisoned))

    assert named(found) == {"nonfinite_gradient"}
    assert "ended at logits" in of(Figure, found)[BATTERY].data["nonfinite_gradient"]["sentence"]
    assert {"survivors_half", "gradient_cosine", "planted_missed"} <= named(found, "skipped")


def test_a_network_that_answers_at_random_is_named_and_no_check_is_made(battery, digits):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = battery(changed(digits, logits=lambda z: z + torch.randn_like(z)))

    assert "random-network" in of(Notice, found)
    assert named(found, "skipped") == CHECKS
    assert not of(Measurement, found)
    reasons = {finding.reason for finding in of(Skipped, found).values()}
    assert reasons == {of(Notice, found)["random-network"].message}


def test_a_model_without_gradients_is_skipped_with_the_reason(battery, digits):
    digits.capabilities = frozenset(Capability) - {Capability.GRADIENTS}
    found = battery(digits)

    assert {finding.reason for finding in of(Skipped, found).values()} == {"the model gives no gradients"}
    assert named(found, "skipped") == CHECKS


def test_without_a_right_answer_there_is_nothing_to_check(battery, digits):
    images = digit_images(digits)
    images.labels = (images.labels + 1) % 10
    classifier = changed(digits, logits=lambda z: z)

    assert "no image is classified correctly" in {
        finding.reason for finding in of(Skipped, battery(classifier, images)).values()
    }


def test_without_a_linear_head_only_planting_is_skipped(battery, digits):
    digits.split = None
    found = battery(digits, limit=10)

    assert named(found, "skipped") - {"transfer_gap", "noise_ratio"} == {"planted_missed"}


def test_every_failed_check_has_a_notice_and_a_sentence_and_skipped_ones_a_reason(battery, digits):
    found = battery(changed(digits, pixels=quantised), limit=10)
    notices = [finding.message for finding in found if isinstance(finding, Notice) and finding.code == NOTICE]
    checks = of(Figure, found)[BATTERY].data

    assert [message.split(":")[0].removeprefix("masking.") for message in notices] == [
        name for name, check in checks.items() if check["verdict"] == "failed"
    ]
    assert set(checks) == CHECKS
    for name, check in checks.items():
        measured = of(Measurement, found).get(f"masking.{name}")
        assert (measured is None) == (check["verdict"] == "skipped") == (check["value"] is None)
        assert len(check["sentence"]) > 10
        assert measured is None or measured.value == check["value"]
    assert json.loads(json.dumps(checks, allow_nan=False)) == checks


def test_thresholds_are_parameters_and_are_printed(battery):
    strict = battery(limit=10, min_gradient_cosine=1.0, max_planted_missed=0.25)
    checks = of(Figure, strict)[BATTERY].data

    assert "gradient_cosine" in named(strict)
    assert checks["gradient_cosine"]["threshold"] == 1.0
    assert checks["planted_missed"]["threshold"] == 0.25
    assert "fails above 0.25" in of(Measurement, strict)["masking.planted_missed"].note
    assert checks["survivors_half"]["threshold"] == 0.1


def test_the_same_seed_finds_the_same_in_any_pool_and_another_seed_does_not(battery):
    def numbers(**settings):
        return {key: metric.value for key, metric in of(Measurement, battery(limit=10, **settings)).items()}

    assert numbers() == numbers(calls=1)
    assert numbers() != numbers(seed=1)


def test_a_surrogate_with_true_slopes_breaks_what_a_hidden_gradient_does_not(battery, digits):
    found = battery(changed(digits, pixels=quantised), epsilon=48 / 255, surrogate="embedded:digits-cnn")

    assert "transfer_gap" in named(found)
    assert of(Measurement, found)["masking.transfer_gap"].n >= N - 4


def test_a_surrogate_that_is_the_network_itself_beats_nothing(battery):
    found = battery(epsilon=32 / 255, surrogate="embedded:digits-cnn")

    assert "transfer_gap" in named(found, "passed")
    assert "embedded:digits-cnn" in of(Figure, found)[BATTERY].data["transfer_gap"]["sentence"]


def test_a_surrogate_of_other_classes_is_refused_before_anything_is_measured(make_classifier):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        other = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), channels=1)

    with pytest.raises(InvalidProfile, match="has 10 classes of 1-channel images, the model 3 of 1"):
        audit.bind("masking", {"surrogate": "embedded:digits-cnn"}).check(other, Permissions())


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (0, 5), (1, 0), (7, 0), (8, 1), (30, 20)])
def test_the_p_of_a_gap_is_scipy_s_exact_binomial(wins, losses):
    expected = 1.0 if wins == 0 else stats.binomtest(wins, wins + losses, 0.5, alternative="greater").pvalue

    assert Gap(wins, losses, 100).p == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "failed"), [(0, 8, False), (1, 8, False), (3, 60, False), (7, 60, False), (9, 60, True)]
)
def test_a_share_fails_above_its_threshold_only_by_more_than_chance(successes, trials, failed):
    excess = Excess(successes, trials, 0.05, 0.01)
    expected = stats.binomtest(successes, trials, 0.05, alternative="greater").pvalue

    assert excess.p == pytest.approx(expected, rel=1e-12)
    assert excess.failed == failed


def test_shares_have_wilson_intervals(battery):
    found = of(Measurement, battery(limit=10))
    survivors = found["masking.survivors_half"]

    assert survivors.interval == wilson(round(survivors.value * survivors.n), survivors.n)
    assert found["masking.zero_gradient"].interval_reason == "gradients of one image are not independent"


@pytest.mark.parametrize(
    "raw",
    [{"limit": 0}, {"epsilon": 0}, {"epsilon": "300/255"}, {"restarts": 1}, {"max_gap": 1.5}, {"significance": 0}],
)
def test_impossible_parameters_are_refused(raw):
    with pytest.raises(InvalidProfile):
        bind("masking", raw)


def test_a_radius_is_written_as_a_fraction():
    assert bind("masking", {"epsilon": "4/255"}).parameters.epsilon == 4 / 255


def test_an_honest_robust_network_passes(battery, real_arguments, assets, make_images):
    network = load_model(**real_arguments("resnet2b"))
    found = battery(network, cifar(assets, make_images), epsilon=4 / 255, limit=32)

    assert named(found) == set()


@pytest.mark.slow
@pytest.mark.parametrize("radius", [0.5, 2, 8])
@pytest.mark.parametrize("name", ["resnet2b", "resnet20"])
def test_honest_networks_pass_at_every_radius(name, radius, battery, real_arguments, assets, make_images):
    network = load_model(**real_arguments(name))
    found = battery(network, cifar(assets, make_images), epsilon=radius / 255, limit=48, queries=200)

    assert named(found) == set()


def cifar(assets, make_images):
    stored = np.load(assets / "cifar10" / "cifar10_test_250.npz")
    images = torch.from_numpy(stored["images"]).permute(0, 3, 1, 2)[:64].contiguous()
    return make_images(images, stored["labels"][:64])
