"""The robustness audit: shares over the right denominators, and nothing where nothing can be said."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from repaudit.attacks import resolve
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits import bind
from repaudit.audits._robustness_verdicts import tally, unfit_step, union
from repaudit.audits.robustness import RobustnessParameters, audit
from repaudit.classifier import Capability
from repaudit.errors import InvalidProfile
from repaudit.evidence import collect
from repaudit.finding import Column, Figure, Measurement, Notice, Skipped
from repaudit.metrics.intervals import wilson
from repaudit.progress import SilentProgress

ROBUST, BROKEN, ERROR, WRONG = (CODES[name] for name in Outcome)
N = 60
PGD = {"name": "pgd", "key": "pgd_2", "epsilon": "4/255", "steps": 4, "step_size": "1.5/255"}

MECHANISM = ("shrink_cosine_large", "shrink_cosine_small", "radial_share_large", "radial_share_small")


class Layer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
        )


@pytest.fixture
def classifier(make_classifier, network):
    return make_classifier(network, mean=0.5, std=0.5)


@pytest.fixture
def images(classifier, predicted_images):
    """Every sixth image is labelled wrongly."""
    images = predicted_images(classifier, N)
    images.labels[::6] = (images.labels[::6] + 1) % 5
    return images


@pytest.fixture
def findings(make_case):
    def run(classifier, images, **parameters):
        evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
        case = make_case(evidence, RobustnessParameters(**parameters), classifier, images)
        return list(audit.run(case))

    return run


def of(kind, found):
    name = {Measurement: "key", Skipped: "key", Figure: "key", Column: "name", Notice: "code"}[kind]
    return {getattr(finding, name): finding for finding in found if isinstance(finding, kind)}


def test_shares_have_the_denominators_of_their_definitions(classifier, images, findings):
    found = findings(classifier, images, attacks=[PGD])
    numbers, outcome = of(Measurement, found), of(Column, found)["attack_pgd_2_outcome"].values
    counts = {code: int((outcome == code).sum()) for code in (ROBUST, BROKEN, ERROR, WRONG)}

    assert (counts[WRONG], counts[ERROR], sum(counts.values())) == (10, 0, N)
    assert numbers["robustness.pgd_2.robust_accuracy"].value == counts[ROBUST] / N
    assert numbers["robustness.pgd_2.asr"].value == counts[BROKEN] / 50
    assert numbers["robustness.pgd_2.error_share"].value == 0
    assert numbers["robustness.pgd_2.asr"].n == 50
    assert numbers["robustness.pgd_2.robust_accuracy"].n == numbers["robustness.pgd_2.error_share"].n == N
    assert numbers["robustness.pgd_2.asr"].interval == wilson(counts[BROKEN], 50)
    assert numbers["robustness.pgd_2.robust_accuracy"].interval == wilson(counts[ROBUST], N)
    assert "sampling only" in numbers["robustness.pgd_2.asr"].note
    assert 0 < counts[BROKEN] < 50


def test_the_worst_of_all_attacks_is_their_union_image_by_image(classifier, images, findings):
    found = findings(classifier, images, attacks=["fgsm", "pgd_w", PGD])
    columns, numbers = of(Column, found), of(Measurement, found)
    broken = np.zeros(N, dtype=bool)
    for key in ("fgsm", "pgd_w", "pgd_2"):
        broken |= columns[f"attack_{key}_outcome"].values == BROKEN

    assert numbers["robustness.worst.asr"].value == broken.sum() / 50
    assert numbers["robustness.worst.robust_accuracy"].value == (50 - broken.sum()) / N
    assert "fgsm, pgd_w, pgd_2" in numbers["robustness.worst.asr"].note


def test_broken_wins_over_error_and_error_over_robust_in_a_union():
    first = np.array([ROBUST, ROBUST, ROBUST, BROKEN, ERROR, ERROR])
    second = np.array([ROBUST, BROKEN, ERROR, ROBUST, BROKEN, ERROR])

    assert union([first, second]).tolist() == [ROBUST, BROKEN, ERROR, BROKEN, BROKEN, ERROR]


@pytest.mark.parametrize(("broken", "saturated"), [(0, True), (4, True), (5, False), (95, False), (96, True)])
def test_success_above_95_or_below_5_percent_is_saturated(broken, saturated):
    assert tally(np.repeat([BROKEN, ROBUST], [broken, 100 - broken]), 120).saturated == saturated


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            {"name": "pgd_s", "norm": "l2", "epsilon": 8},
            "moves no further than 7 × 0.00784 in a ball of radius 8",
        ),
        ({"name": "pgd", "epsilon": 0.01, "steps": 3, "step_size": 0.5}, "longer than its ball of radius 0.01"),
        ({"name": "pgd", "epsilon": 0.3, "steps": 1, "step_size": 0.1}, "moves no further than 1 × 0.1"),
        ({"name": "pgd", "epsilon": 0.3, "steps": 3, "step_size": 0.1}, None),
        ("pgd_w", None),
        ("pgd_s", None),
        ("pgd_20", None),
        ("autoattack_s", None),
    ],
)
def test_steps_that_do_not_fit_their_radius_are_named_with_what_would(setting, told):
    unfit = unfit_step(resolve(setting))

    assert (unfit == "") == (told is None)
    assert told is None or told in unfit
    if told is not None:
        size = float(unfit.split("write step_size: ")[1].rstrip(")"))
        assert unfit_step(resolve({**setting, "step_size": size})) == ""


def test_a_saturated_attack_is_announced_and_has_no_trend(classifier, images, findings):
    found = findings(classifier, images, attacks=[{"name": "fgsm", "epsilon": 1e-6}])

    assert of(Measurement, found)["robustness.fgsm.asr"].value == 0
    assert "`fgsm` succeeds on 0.0%" in of(Notice, found)["attack-saturated"].message
    assert "breaks no image" in of(Skipped, found)["robustness.fgsm.cosine_spearman"].reason
    assert "breaks no image" in of(Skipped, found)["robustness.fgsm.margin_spearman"].reason


def test_limit_keeps_every_class_in_its_share_and_counts_initially_wrong_images(classifier, images, findings):
    found = findings(classifier, images, attacks=["fgsm"], limit=30)
    columns, numbers = of(Column, found), of(Measurement, found)
    outcome = columns["attack_fgsm_outcome"].values
    chosen = outcome != -1

    assert chosen.sum() == 30
    share = np.bincount(images.labels[chosen], minlength=5) - np.bincount(images.labels, minlength=5) / 2
    assert np.abs(share).max() < 1
    assert numbers["robustness.fgsm.robust_accuracy"].n == 30
    assert numbers["robustness.fgsm.asr"].n == 30 - (outcome == WRONG).sum()
    assert np.isnan(columns["attack_fgsm_margin"].values[~np.isin(outcome, (ROBUST, BROKEN))]).all()
    assert (columns["attack_fgsm_iteration"].values[~np.isin(outcome, (ROBUST, BROKEN))] == -1).all()
    assert np.isfinite(columns["attack_fgsm_margin"].values[np.isin(outcome, (ROBUST, BROKEN))]).all()


def test_a_limit_never_changes_the_verdict_of_an_image(classifier, images, findings):
    everybody = of(Column, findings(classifier, images, attacks=[PGD]))["attack_pgd_2_margin"].values
    some = of(Column, findings(classifier, images, attacks=[PGD], limit=25))["attack_pgd_2_margin"].values

    attacked = np.isfinite(some)
    assert attacked.any()
    np.testing.assert_array_equal(some[attacked], everybody[attacked])


def test_trends_are_the_rank_correlations_of_scipy(classifier, images, findings, make_case):
    found = findings(classifier, images, attacks=[PGD])
    evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
    outcome = of(Column, found)["attack_pgd_2_outcome"].values
    attacked = np.isin(outcome, (ROBUST, BROKEN))
    expected = stats.spearmanr(outcome[attacked] == BROKEN, evidence.summary.margin[attacked])
    measured = of(Measurement, found)["robustness.pgd_2.margin_spearman"]

    assert measured.value == pytest.approx(expected.statistic, abs=1e-12)
    assert (measured.n, measured.interval.method) == (50, "fisher-z-bonett-wright")
    assert measured.value < 0  # images far from the boundary are broken less often
    assert "no cause" in measured.note


def test_the_bins_hold_every_judged_image_and_its_success(classifier, images, findings):
    found = findings(classifier, images, attacks=[PGD])
    bins = of(Figure, found)["robustness.pgd_2.by_cosine"].data
    hits = sum(count * share for count, share in zip(bins["count"], bins["success"], strict=True) if share is not None)

    assert len(bins["edges"]) == len(bins["count"]) + 1
    assert sum(bins["count"]) == bins["n"] == 50
    assert hits / 50 == pytest.approx(of(Measurement, found)["robustness.pgd_2.asr"].value)


def test_perturbations_are_those_of_the_last_iterate(classifier, images, findings):
    found = findings(classifier, images, attacks=[{"name": "fgsm", "epsilon": "4/255"}], perturbation_limit=1000)
    right = np.flatnonzero(np.arange(N) % 6 != 0)
    clean = images.stored[right].float() / 255
    labels = torch.from_numpy(images.labels[right])
    query = clean.clone().requires_grad_()
    loss = nn.functional.cross_entropy(classifier.logits(query), labels, reduction="sum")
    attacked = (clean + 4 / 255 * torch.autograd.grad(loss, query)[0].sign()).clamp(0, 1)
    features = classifier.features(clean).numpy()
    moved = np.sqrt(((classifier.features(attacked).numpy() - features) ** 2).mean(axis=1))
    size = np.sqrt((features**2).mean(axis=1))
    numbers = of(Measurement, found)

    assert numbers["robustness.fgsm.perturbation_rms"].n == 50
    assert numbers["robustness.fgsm.perturbation_rms"].value == pytest.approx(moved.mean(), rel=1e-4)
    assert numbers["robustness.fgsm.perturbation_pearson"].value == pytest.approx(
        stats.pearsonr(size, moved).statistic, abs=1e-4
    )
    points = of(Figure, found)["robustness.fgsm.perturbation"].data
    np.testing.assert_allclose(points["perturbation_rms"], moved, rtol=1e-3)


def test_perturbation_limit_bounds_the_images_and_zero_skips_them(classifier, images, findings):
    some = of(Measurement, findings(classifier, images, attacks=[PGD], perturbation_limit=7))
    none = of(Skipped, findings(classifier, images, attacks=[PGD], perturbation_limit=0))

    assert some["robustness.pgd_2.perturbation_rms"].n == 7
    assert none["robustness.pgd_2.perturbation_rms"].reason == "perturbation_limit is 0"


def test_the_same_seed_gives_the_same_findings_and_another_seed_another_start(classifier, images, make_case):
    evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence

    def margins(seed):
        case = make_case(evidence, RobustnessParameters(attacks=[PGD]), classifier, images, seed=seed)
        return of(Column, audit.run(case))["attack_pgd_2_margin"].values

    np.testing.assert_array_equal(margins(0), margins(0))
    assert (margins(0) != margins(1))[np.isfinite(margins(0))].any()


def test_without_a_right_answer_there_is_no_success_to_speak_of(classifier, predicted_images, findings):
    images = predicted_images(classifier, 20)
    images.labels[:] = (images.labels + 1) % 5
    found = findings(classifier, images, attacks=["fgsm"])

    assert "no image is classified correctly" in of(Skipped, found)["robustness.fgsm.asr"].reason
    assert "no image is classified correctly" in of(Skipped, found)["robustness.worst.asr"].reason
    assert of(Measurement, found)["robustness.fgsm.robust_accuracy"].value == 0
    assert {"robustness.fgsm.cosine_spearman", "robustness.fgsm.perturbation_rms"} <= set(of(Skipped, found))


def test_errors_are_neither_robust_nor_broken(make_classifier, network, images, findings):
    def poison(x):
        pixels = (x * 0.5 + 0.5) * 255
        off = ((pixels - pixels.round()).abs() > 1e-2).flatten(1).any(1)
        return torch.where(off[:, None, None, None], torch.nan, x)

    poisoned = make_classifier(nn.Sequential(Layer(poison), *network), mean=0.5, std=0.5)
    found = findings(poisoned, images, attacks=[{"name": "fgsm", "epsilon": "0.4/255"}])
    numbers = of(Measurement, found)

    assert "every attacked image ended in an error" in of(Skipped, found)["robustness.fgsm.asr"].reason
    assert numbers["robustness.fgsm.robust_accuracy"].value == 0
    assert numbers["robustness.fgsm.error_share"].value == numbers["robustness.worst.error_share"].value == 50 / N
    assert "50 images" in of(Notice, found)["attack-errors"].message


def test_a_model_without_gradients_is_skipped_attack_by_attack(classifier, images, findings):
    classifier.capabilities = frozenset(Capability) - {Capability.GRADIENTS}
    found = findings(classifier, images, attacks=["fgsm", "pgd_w"])

    assert not of(Measurement, found)
    assert set(of(Skipped, found)) == {
        f"robustness.{key}.{name}"
        for key in ("fgsm", "pgd_w")
        for name in (
            "asr",
            "robust_accuracy",
            "error_share",
            "perturbation_rms",
            "perturbation_pearson",
            "cosine_spearman",
            "margin_spearman",
            "linear_distance_spearman",
            "telling_epsilon",
        )
    } | {f"robustness.mechanism.{name}" for name in MECHANISM} | {
        f"robustness.worst.{name}" for name in ("asr", "robust_accuracy", "error_share")
    }


def test_a_network_that_cuts_its_own_graph_is_skipped(make_classifier, network, images, findings):
    cut = make_classifier(nn.Sequential(Layer(torch.Tensor.detach), *network), mean=0.5, std=0.5)
    found = findings(cut, images, attacks=["fgsm"])

    assert "no gradients" in of(Skipped, found)["robustness.fgsm.asr"].reason


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        (Layer(lambda x: x - x.mean(0, keepdim=True)), "batch-dependent-network"),
        (Layer(lambda x: nn.functional.dropout(x, 0.3, training=True)), "random-network"),
    ],
    ids=["batch-dependent", "random"],
)
def test_a_network_whose_verdicts_would_mean_nothing_is_named_and_nothing_is_measured(
    make_classifier, network, images, findings, layer, code
):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = findings(make_classifier(nn.Sequential(layer, *network), mean=0.5, std=0.5), images, attacks=["fgsm"])

    assert code in of(Notice, found)
    assert not of(Measurement, found)
    assert of(Skipped, found)["robustness.worst.robust_accuracy"].reason == of(Notice, found)[code].message


def test_without_a_linear_head_verdicts_remain_and_features_are_skipped_with_the_reason(classifier, images, findings):
    head = dataclasses.replace(classifier.card.head, kind="none", reason="the last layer is a convolution")
    classifier.card = dataclasses.replace(classifier.card, head=head)
    classifier.split = None
    found = findings(classifier, images, attacks=["fgsm"])

    assert of(Measurement, found)["robustness.fgsm.asr"].n == 50
    for name in ("perturbation_rms", "perturbation_pearson", "cosine_spearman"):
        assert of(Skipped, found)[f"robustness.fgsm.{name}"].reason == "the last layer is a convolution"


def test_a_decimal_close_to_eight_levels_is_hinted_at(classifier, images, findings):
    found = findings(classifier, images, attacks=[{"name": "fgsm", "epsilon": 0.031}])

    assert "not 8/255" in of(Notice, found)["epsilon-rounded"].message


def test_every_key_is_promised_in_the_audits_patterns(classifier, images, findings):
    found = findings(classifier, images, attacks=["fgsm", PGD])
    promised = {pattern.split(".")[2] for pattern in audit.keys}

    assert {key.split(".")[2] for key in [*of(Measurement, found), *of(Skipped, found)]} <= promised


def test_figures_are_strict_json(classifier, images, findings):
    figures = of(Figure, findings(classifier, images, attacks=["fgsm", PGD]))

    assert {"robustness.fgsm.verdicts", "robustness.fgsm.by_cosine", "robustness.fgsm.perturbation"} <= set(figures)
    for figure in figures.values():
        assert json.loads(json.dumps(figure.data, allow_nan=False)) == figure.data


def test_two_attacks_with_one_key_are_refused():
    with pytest.raises(InvalidProfile, match="two attacks have the key `pgd_w`"):
        bind("robustness", {"attacks": ["pgd_w", {"name": "pgd_w", "epsilon": "1/255"}]})


@pytest.mark.parametrize(
    "raw",
    [{"attacks": []}, {"attacks": "fgsm"}, {"limit": 0}, {"perturbation_limit": -1}, {"atacks": ["fgsm"]}],
)
def test_impossible_parameters_are_refused(raw):
    with pytest.raises(InvalidProfile):
        bind("robustness", raw)


def test_an_unknown_attack_in_a_profile_is_refused_with_the_nearest():
    with pytest.raises(InvalidProfile, match="fsgm") as refused:
        bind("robustness", {"attacks": ["fsgm"]})

    assert "fgsm" in refused.value.remedy


def test_parameters_in_the_report_are_json_that_binds_to_the_same():
    bound = bind("robustness", {"attacks": ["pgd_s", PGD], "limit": 10})
    dumped = json.loads(json.dumps(bound.parameters.model_dump(mode="json")))

    assert bind("robustness", dumped).parameters == bound.parameters
    assert dumped["attacks"][0]["epsilon"] == 8 / 255


def test_the_default_is_the_quick_pair():
    assert [setting.key for setting in bind("robustness", {}).parameters.attacks] == ["fgsm", "pgd_w"]
