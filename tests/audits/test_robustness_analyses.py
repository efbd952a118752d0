"""The papers' analyses where the truth is known: on networks that are linear in every pixel."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from repaudit.attacks import Setting, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.threat import Norm
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.audits._robustness_analyses import Analyses, relation_specs
from repaudit.audits._robustness_distance import linear_distances
from repaudit.audits._robustness_mechanism import SPECS
from repaudit.audits._robustness_telling import scaled
from repaudit.audits._robustness_trajectory import Trajectory
from repaudit.audits._subjects import Field
from repaudit.case import EvaluationShape, Parameters
from repaudit.evidence import collect
from repaudit.finding import Figure, Measurement, Skipped
from repaudit.progress import SilentProgress

SIDE = 5
WIDTH = 3 * SIDE * SIDE
N = 40
BROKEN = CODES[Outcome.BROKEN]


class Cube(nn.Module):
    def forward(self, x):
        return x**3


def linear_network(classes, generator):
    """A linear score of every pixel, 0 at the middle grey; the feature is the image."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, classes))
    network[1].weight.data = torch.randn(classes, WIDTH, generator=generator) / 10
    network[1].bias.data = -0.5 * network[1].weight.data.sum(1)
    return network


@pytest.fixture
def grey_images(make_images):
    """Images far enough from black and white that nothing is ever clipped at small radii."""

    def make(classifier, n=N, low=90, high=166):
        generator = torch.Generator().manual_seed(3)
        stored = torch.randint(low, high, (n, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        with torch.no_grad():
            labels = classifier.logits(stored.float() / 255).argmax(1)
        return make_images(stored, labels.numpy())

    return make


@pytest.fixture
def linear(make_classifier):
    return make_classifier(linear_network(2, torch.Generator().manual_seed(2)))


@pytest.fixture
def images(linear, grey_images):
    return grey_images(linear)


@pytest.fixture
def case_of(make_case):
    def make(classifier, images, calls=4):
        evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
        case = make_case(evidence, Parameters(), classifier, images)
        return dataclasses.replace(case, shape=EvaluationShape(rows=8, calls=calls))

    return make


def field_of(case):
    rows = np.arange(len(case.evidence))
    return Field(len(rows), rows, rows[case.evidence.summary.correct])


def analyses_of(case, limit=N, small=0.4 / 255, gradients=True):
    return Analyses(case, field_of(case), limit=limit, small=small, gradients=gradients)


def attacked(case, analyses, raw):
    """What the audit does with one attack: the evaluation, and the findings on top by key."""
    setting, correct = raw if isinstance(raw, Setting) else resolve(raw), field_of(case).correct
    witness = analyses.witness(setting)
    evaluation = evaluate(
        case.classifier,
        case.images,
        Subjects(
            ids=tuple(case.evidence.ids[row] for row in correct),
            labels=case.evidence.labels[correct],
            logits=case.evidence.logits[correct],
        ),
        setting,
        seed=case.seed,
        shape=case.shape,
        progress=case.progress,
        kept=analyses.kept,
        witness=witness,
    )
    return evaluation, by_key(analyses.findings(evaluation, witness))


def by_key(findings):
    return {(type(finding), finding.key): finding for finding in findings}


def slope(classifier):
    """(d,) float64 of the first class's margin over the second."""
    weight = classifier.network[-1].weight.detach().double()
    return (weight[0] - weight[1]).numpy()


def pixels(images):
    return images.stored.flatten(1).double().numpy() / 255


# linear distance


@pytest.mark.parametrize(("norm", "order"), [(Norm.LINF, 1), (Norm.L2, 2)])
def test_of_a_linear_network_the_linear_distance_is_the_smallest_perturbation_to_the_runner_up(
    make_classifier, grey_images, case_of, norm, order
):
    classifier = make_classifier(linear_network(4, torch.Generator().manual_seed(7)))
    images = grey_images(classifier)
    case = case_of(classifier, images)
    weight, scores = classifier.network[1].weight.detach().double().numpy(), case.evidence.logits.astype(np.float64)
    found = linear_distances(case, np.arange(N)).by_norm[norm]

    own, ranked = images.labels, np.argsort(-scores, axis=1)
    assert (ranked[:, 0] == own).all()
    rows, rival = np.arange(N), ranked[:, 1]
    exact = (scores[rows, own] - scores[rows, rival]) / np.linalg.norm(weight[own] - weight[rival], order, axis=1)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_an_attack_breaks_exactly_the_images_nearer_than_its_radius_so_distance_ranks_them(linear, images, case_of):
    case = case_of(linear, images)
    distances = linear_distances(case, np.arange(N)).by_norm[Norm.LINF]
    ordered = np.sort(distances)
    epsilon = float((ordered[N // 2 - 1] + ordered[N // 2]) / 2)
    evaluation, found = attacked(case, analyses_of(case), {"name": "fgsm", "epsilon": epsilon})
    measured = found[Measurement, "robustness.fgsm.linear_distance_spearman"]

    np.testing.assert_array_equal(evaluation.outcome == BROKEN, distances < epsilon)
    assert measured.value == pytest.approx(stats.spearmanr(distances < epsilon, distances).statistic, abs=1e-9)
    assert measured.n == N


def test_distances_do_not_depend_on_how_the_images_are_batched_among_others(linear, images, case_of):
    case = case_of(linear, images)
    everybody = linear_distances(case, np.arange(N)).by_norm
    some = np.array([3, 11, 12, 30])

    for norm, distances in linear_distances(case, some).by_norm.items():
        np.testing.assert_array_equal(distances, everybody[norm][some])


def test_images_whose_margin_has_no_gradient_are_left_out_and_counted(make_classifier, grey_images, case_of):
    class Dead(nn.Module):
        def forward(self, x):
            return x * (x.mean((1, 2, 3), keepdim=True) > 0.5)

    network = nn.Sequential(Dead(), *linear_network(2, torch.Generator().manual_seed(2)))
    network[-1].bias.data += 0.05
    classifier = make_classifier(network)
    images = grey_images(classifier)
    case = case_of(classifier, images)
    dead = pixels(images).mean(1) <= 0.5
    _, found = attacked(case, analyses_of(case), {"name": "fgsm", "epsilon": 4 / 255})

    assert 5 < dead.sum() < N - 5
    np.testing.assert_array_equal(np.isnan(linear_distances(case, np.arange(N)).by_norm[Norm.LINF]), dead)
    measured = found[Measurement, "robustness.fgsm.linear_distance_spearman"]
    assert measured.n == N - dead.sum()
    assert f"{dead.sum()} images left out" in measured.note


# mechanism


def test_one_step_on_a_linear_network_moves_every_feature_by_the_sign_of_the_slope(linear, images, case_of):
    case = case_of(linear, images)
    found = by_key(analyses_of(case).mechanism())
    step = np.where(images.labels[:, None] == 0, -1, 1) * np.sign(slope(linear))
    feature = pixels(images)
    cosine = -(step * feature).sum(1) / (np.sqrt(WIDTH) * np.linalg.norm(feature, axis=1))

    for size in ("large", "small"):
        shrink = found[Measurement, f"robustness.mechanism.shrink_cosine_{size}"]
        share = found[Measurement, f"robustness.mechanism.radial_share_{size}"]
        assert shrink.value == pytest.approx(cosine.mean(), abs=1e-5)
        assert share.value == pytest.approx(np.abs(cosine).mean(), abs=1e-5)
        assert shrink.n == share.n == N
    figure = found[Figure, "robustness.mechanism"].data
    assert (figure["large"]["epsilon"], figure["small"]["epsilon"]) == (8 / 255, 0.4 / 255)
    center = np.where(images.labels[:, None] == 0, 1, -1) * slope(linear)
    aligned = (feature * center).sum(1) / np.linalg.norm(feature, axis=1) / np.linalg.norm(center, axis=1)
    counts, edges, _ = stats.binned_statistic(aligned, None, "count", bins=10)
    means = stats.binned_statistic(aligned, cosine, "mean", bins=10).statistic
    np.testing.assert_allclose(figure["edges"], edges, atol=1e-6)
    assert figure["large"]["count"] == counts.tolist()
    for ours, exact in zip(figure["large"]["shrink_cosine"]["mean"], means, strict=True):
        assert (ours is None and np.isnan(exact)) or ours == pytest.approx(exact, abs=1e-5)


def test_with_one_pixel_every_step_is_radial_outwards_for_one_class_and_inwards_for_the_other(
    make_classifier, make_images, case_of
):
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    network[1].weight.data, network[1].bias.data = torch.tensor([[1.0], [-1.0]]), torch.tensor([-0.5, 0.5])
    classifier = make_classifier(network, channels=1)
    stored = torch.tensor([60, 100, 140, 200, 220], dtype=torch.uint8).reshape(5, 1, 1, 1)
    case = case_of(classifier, make_images(stored, np.array([1, 1, 0, 0, 0])))
    found = by_key(analyses_of(case).mechanism())

    assert found[Measurement, "robustness.mechanism.shrink_cosine_large"].value == pytest.approx(1 / 5)
    assert found[Measurement, "robustness.mechanism.radial_share_small"].value == pytest.approx(1)
    assert found[Figure, "robustness.mechanism"].data["isotropic_share"] == pytest.approx(1)


def test_the_mechanism_is_the_same_for_every_size_of_the_pool(linear, images, case_of):
    one, many = (list(analyses_of(case_of(linear, images, calls=calls)).mechanism()) for calls in (1, 4))

    assert one == many


def test_features_that_cannot_move_are_left_out_and_counted(make_classifier, make_images, case_of):
    network = nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, 2))
    network[1].weight.data.zero_()
    network[1].bias.data = torch.tensor([1.0, 0.0])
    classifier = make_classifier(network)
    images = make_images(torch.full((6, 3, SIDE, SIDE), 100, dtype=torch.uint8), np.zeros(6))
    found = by_key(analyses_of(case_of(classifier, images)).mechanism())

    for spec in SPECS:
        assert "no feature moved" in found[Skipped, spec.pattern].reason


# trajectory


def test_descending_a_linear_network_the_margin_falls_by_the_slope_until_the_corner_of_the_ball(
    linear, images, case_of
):
    case, epsilon, step, steps = case_of(linear, images), 0.02, 0.006, 6
    raw = {"name": "pgd", "epsilon": epsilon, "step_size": step, "steps": steps, "start": "clean"}
    _, found = attacked(case, analyses_of(case), raw)
    figure = found[Figure, "robustness.pgd.trajectory"].data

    moved = np.minimum(np.arange(steps + 1) * step, epsilon)
    side = np.where(images.labels == 0, 1, -1)
    margin = np.abs((pixels(images) - 0.5) @ slope(linear))[:, None] - moved * np.abs(slope(linear)).sum()
    feature = pixels(images)[:, None, :] - side[:, None, None] * moved[None, :, None] * np.sign(slope(linear))
    rms = np.sqrt((feature**2).mean(2))
    unit = slope(linear) / np.linalg.norm(slope(linear))
    cosine = side[:, None] * (feature @ unit) / np.linalg.norm(feature, axis=2)
    assert figure["query"] == list(range(steps + 1))
    assert figure["count"] == [N] * (steps + 1)
    for name, exact in (("margin", margin), ("rms", rms), ("cosine", cosine)):
        np.testing.assert_allclose(figure[name]["mean"], exact.mean(0), atol=2e-5)
        np.testing.assert_allclose(figure[name]["sd"], exact.std(0, ddof=1), atol=2e-5)
        reach = stats.t.ppf(0.975, N - 1) * exact.std(0, ddof=1) / np.sqrt(N)
        np.testing.assert_allclose(figure[name]["high"], exact.mean(0) + reach, atol=2e-5)


def test_a_trajectory_is_the_same_to_the_last_bit_for_every_size_of_the_pool(make_classifier, grey_images, case_of):
    # sixteen classes: on a processor the kernel for two rounds a row differently at another place of the call
    classifier = make_classifier(linear_network(16, torch.Generator().manual_seed(2)))
    images = grey_images(classifier)
    raw = {"name": "pgd", "epsilon": 0.02, "step_size": 0.006, "steps": 6}

    def figure(calls):
        case = case_of(classifier, images, calls=calls)
        return attacked(case, analyses_of(case, limit=23), raw)[1][Figure, "robustness.pgd.trajectory"]

    assert figure(1) == figure(3) == figure(8)
    assert figure(1).data["n"] == 23


def test_a_trajectory_needs_no_room_known_beforehand_and_no_order_of_arrival(rng):
    features, logits = rng.normal(size=(50, 2, 7)).astype(np.float32), rng.normal(size=(50, 2, 3)).astype(np.float32)
    centers, labels = rng.normal(size=(3, 7)), np.array([2, 0, 1, 1])
    kept = np.array([0, 3])

    def fed(order, apart):
        witness = Trajectory(kept, labels, centers)
        for query in order:
            for part in [[0], [1]] if apart else [[0, 1]]:
                witness.saw(kept[part], np.full(len(part), query), features[query, part], logits[query, part])
        return witness._seen[:, :, :50]

    np.testing.assert_array_equal(fed(range(50), False), fed(range(49, -1, -1), True))


def test_one_step_has_no_trajectory(linear, images, case_of):
    case = case_of(linear, images)

    assert analyses_of(case).witness(resolve("fgsm")) is None


# a telling radius


@pytest.mark.parametrize("epsilon", [0.5, 2e-4], ids=["breaks every image", "breaks none"])
@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_a_saturated_attack_is_run_again_where_it_breaks_about_half_and_distance_says_which(
    linear, grey_images, case_of, norm, epsilon
):
    images = grey_images(linear)
    case = case_of(linear, images)
    distances = linear_distances(case, np.arange(N)).by_norm[norm]
    start = epsilon if norm is Norm.LINF else epsilon * 8
    raw = {"name": "pgd", "norm": norm, "epsilon": start, "step_size": start / 2, "steps": 3, "start": "clean"}
    _, found = attacked(case, analyses_of(case), raw)
    measured = found[Measurement, "robustness.pgd.telling_epsilon"]
    figure = found[Figure, "robustness.pgd.telling"].data

    assert figure["asr"] == pytest.approx(0.5, abs=1 / N)
    assert measured.value == figure["epsilon"] == pytest.approx(np.median(distances), rel=1e-6)
    assert figure["searched"] == [[figure["epsilon"], figure["asr"]]]
    broken = distances < measured.value * (1 + 1e-6)
    assert figure["success"]["linear_distance"]["spearman"] == pytest.approx(
        stats.spearmanr(broken, distances).statistic, abs=0.02
    )
    assert sum(figure["by_cosine"]["count"]) == figure["n"] == measured.n == N


@pytest.mark.parametrize("epsilon", [0.5, 2e-4], ids=["breaks every image", "breaks none"])
def test_the_search_finds_it_although_the_network_is_far_from_linear(make_classifier, grey_images, case_of, epsilon):
    """A power of a linear score has its boundary where the score has it, at nine times the linear distance."""
    first = linear_network(2, torch.Generator().manual_seed(2))[1]
    score = nn.Linear(WIDTH, 1)
    score.weight.data = 4 * (first.weight.data[:1] - first.weight.data[1:])
    score.bias.data = 4 * (first.bias.data[:1] - first.bias.data[1:])
    last = nn.Linear(1, 2)
    last.weight.data, last.bias.data = torch.tensor([[1.0], [-1.0]]), torch.zeros(2)
    classifier = make_classifier(nn.Sequential(nn.Flatten(), score, Cube(), Cube(), last))
    images = grey_images(classifier)
    case = case_of(classifier, images)
    v = score.weight.detach().double().numpy()[0]
    exact = np.abs(pixels(images) @ v + score.bias.detach().double().numpy()) / np.abs(v).sum()
    np.testing.assert_allclose(linear_distances(case, np.arange(N)).by_norm[Norm.LINF], exact / 9, rtol=1e-3)
    raw = {"name": "pgd", "epsilon": epsilon, "step_size": epsilon, "steps": 1, "start": "clean"}
    _, found = attacked(case, analyses_of(case), raw)
    figure = found[Figure, "robustness.pgd.telling"].data

    assert 1 < len(figure["searched"]) <= 8
    for tried, asr in figure["searched"]:
        assert asr == pytest.approx((exact < tried).mean(), abs=1 / N)
    assert 0.3 <= figure["asr"] <= 0.8


def test_step_sizes_keep_their_proportion_and_everything_else_stays(linear, images, case_of):
    raw = {"name": "pgd", "key": "mine", "epsilon": 0.1, "step_size": 0.02, "steps": 9, "restarts": 2}
    moved = scaled(resolve(raw), 0.01)

    assert moved.as_dict() == {
        **resolve(raw).as_dict(),
        "key": "mine-telling",
        "epsilon": 0.01,
        "step_size": pytest.approx(0.002),
    }
    assert [member.attack.threat.epsilon for member in moved.members()] == [0.01]


def test_of_a_list_of_attacks_the_first_is_searched_with_and_its_step_follows_the_radius():
    steps = {"name": "pgd", "steps": 4, "step_size": "2/255"}
    for first in ("pgd_s", steps):
        moved = scaled(resolve({"name": "cascade", "epsilon": "8/255", "attacks": [first, "fgsm"]}), 1 / 255)
        (member,) = moved.members()

        assert (member.name, member.attack.threat.epsilon) == ("pgd", 1 / 255)
        assert moved.as_dict()["attacks"][0]["step_size"] == pytest.approx(0.25 / 255)


def test_a_constant_network_has_no_telling_radius_and_says_what_was_tried(make_classifier, make_images, case_of):
    network = nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, 2))
    network[1].weight.data.zero_()
    network[1].bias.data = torch.tensor([1.0, 0.0])
    classifier = make_classifier(network)
    images = make_images(torch.full((6, 3, SIDE, SIDE), 100, dtype=torch.uint8), np.zeros(6))
    case = case_of(classifier, images)
    _, found = attacked(case, analyses_of(case), "pgd_s")

    assert "0.00 at 1" in found[Skipped, "robustness.pgd_s.telling_epsilon"].reason
    assert (Figure, "robustness.pgd_s.telling") not in found


def test_without_saturation_or_images_there_is_no_search(linear, images, case_of):
    case = case_of(linear, images)
    median = float(np.median(linear_distances(case, np.arange(N)).by_norm[Norm.LINF]))
    _, unsaturated = attacked(case, analyses_of(case), {"name": "fgsm", "epsilon": median})
    _, nobody = attacked(case, analyses_of(case, limit=0), {"name": "fgsm", "epsilon": 0.5})

    assert "not saturated" in unsaturated[Skipped, "robustness.fgsm.telling_epsilon"].reason
    assert "perturbation_limit" in nobody[Skipped, "robustness.fgsm.telling_epsilon"].reason


def test_the_search_reads_no_more_images_than_it_was_allowed(linear, images, case_of):
    case = case_of(linear, images)
    _, found = attacked(case, analyses_of(case, limit=9), {"name": "fgsm", "epsilon": 0.5})

    assert found[Measurement, "robustness.fgsm.telling_epsilon"].n == 9


class Poison(nn.Module):
    """NaN off the 8-bit grid: clean images are fine, attacked ones are errors."""

    def forward(self, x):
        off = ((x * 255 - (x * 255).round()).abs() > 1e-2).flatten(1).any(1)
        return torch.where(off[:, None, None, None], torch.nan, x)


def test_where_every_attacked_image_is_an_error_nothing_is_invented(make_classifier, grey_images, case_of):
    classifier = make_classifier(nn.Sequential(Poison(), *linear_network(2, torch.Generator().manual_seed(2))))
    case = case_of(classifier, grey_images(classifier))
    analyses = analyses_of(case)
    _, found = attacked(case, analyses, {"name": "pgd", "epsilon": "0.4/255", "step_size": "0.3/255", "steps": 3})
    found |= by_key(analyses.mechanism())

    assert "robust or broken" in found[Skipped, "robustness.pgd.telling_epsilon"].reason
    assert (Figure, "robustness.pgd.trajectory") not in found
    assert (Skipped, "robustness.pgd.linear_distance_spearman") in found
    assert found[Measurement, "robustness.mechanism.shrink_cosine_large"].n == N  # whole grey levels
    assert "error on every image" in found[Skipped, "robustness.mechanism.shrink_cosine_small"].reason


# protocols


@pytest.fixture
def protocol():
    """Two attacks in their order, as a protocol's setting holds them."""

    def make(epsilon):
        first = resolve({"name": "fgsm", "key": "both", "epsilon": epsilon})
        then = resolve({"name": "pgd", "epsilon": epsilon, "step_size": epsilon, "steps": 2})
        return dataclasses.replace(first, members=lambda: first.members() + then.members())

    return make


def test_of_a_protocol_the_feature_under_attack_is_that_of_the_query_that_broke_the_image(
    linear, images, case_of, protocol
):
    case = case_of(linear, images)
    epsilon = float(np.median(linear_distances(case, np.arange(N)).by_norm[Norm.LINF]))
    evaluation, found = attacked(case, analyses_of(case), protocol(epsilon))
    size = found[Measurement, "robustness.both.perturbation_rms"]

    assert 0 < (evaluation.outcome == BROKEN).sum() < N
    assert size.n == (evaluation.outcome == BROKEN).sum()
    assert "deciding query" in size.note
    assert size.value == pytest.approx(epsilon, rel=1e-5)  # the step moves every pixel by epsilon
    assert found[Measurement, "robustness.both.linear_distance_spearman"].n == N
    assert sum(found[Figure, "robustness.both.by_cosine"].data["count"]) == N
    assert (Figure, "robustness.both.trajectory") not in found


def test_a_saturated_protocol_is_searched_with_its_first_attack_which_the_figure_names(
    linear, images, case_of, protocol
):
    case = case_of(linear, images)
    _, found = attacked(case, analyses_of(case), protocol(0.5))

    assert found[Figure, "robustness.both.telling"].data["attack"] == "both"
    assert "under both alone; fgsm" in found[Measurement, "robustness.both.telling_epsilon"].note


def test_a_protocol_that_breaks_nothing_has_no_features_to_show_and_says_so(linear, images, case_of, protocol):
    case = case_of(linear, images)
    _, found = attacked(case, analyses_of(case), protocol(1e-5))

    assert "broke none of 40" in found[Skipped, "robustness.both.perturbation_rms"].reason


# all together


def test_whatever_is_promised_is_measured_or_skipped_with_unit_and_direction(linear, images, case_of):
    case = case_of(linear, images)
    analyses = analyses_of(case)
    _, found = attacked(case, analyses, "pgd_w")
    found |= by_key(analyses.mechanism())

    for spec in (*relation_specs("pgd_w"), *SPECS):
        finding = found.get((Measurement, spec.pattern)) or found[Skipped, spec.pattern]
        if isinstance(finding, Measurement):
            assert (finding.unit, finding.better) == (spec.unit, spec.better)
    for kind, key in found:
        if kind is Figure:
            data = found[kind, key].data
            assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_without_gradients_and_without_a_head_each_number_is_skipped_with_its_reason(linear, images, case_of):
    case = case_of(linear, images)
    for finding in analyses_of(case, gradients=False).mechanism():
        assert finding == Skipped(key=finding.key, reason="the model gives no gradients")
    headless = dataclasses.replace(
        case, evidence=dataclasses.replace(case.evidence, features=None, weight=None, bias=None)
    )
    analyses = analyses_of(headless)

    assert not analyses.kept
    assert analyses.witness(resolve("pgd_s")) is None
    for finding in analyses.mechanism():
        assert finding == Skipped(key=finding.key, reason="the model has no linear head")
