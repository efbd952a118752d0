"""Planted adversarials exist where they are said to exist, and each image is answered by its own readout."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.audits._masking_numbered import INSIDE, PLANTED, Numbered, binary_classifier, fits
from repaudit.audits._masking_parameters import MaskingParameters
from repaudit.audits._masking_planted import INNER, planted, planted_point, points
from repaudit.audits._masking_readout import SHRINKAGE, fit
from repaudit.audits._subjects import subjects_of
from repaudit.evidence import collect
from repaudit.progress import SilentProgress

EPSILON = 8 / 255


class Deaf(torch.autograd.Function):
    """What goes in comes out, but no gradient comes back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return torch.zeros_like(slope)


class Hidden(nn.Module):
    def forward(self, x):
        return Deaf.apply(x)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
        )


@pytest.fixture
def case_of(make_case, predicted_images):
    """A case of random images, all of them initially correct."""

    def make(classifier, n=20, epsilon=EPSILON):
        images = predicted_images(classifier, n)
        evidence = collect(classifier, images, rows=8, progress=SilentProgress()).evidence
        return make_case(evidence, MaskingParameters(epsilon=epsilon), classifier, images)

    return make


def everybody(case):
    return subjects_of(case, np.arange(len(case.evidence)))


@pytest.mark.parametrize(("k", "d"), [(33, 10), (33, 200), (5, 2)])
def test_the_readout_is_the_shrunk_discriminant_solved_directly(rng, k, d):
    inner, boundary = rng.normal(size=(k, d)), rng.normal(size=d) + 30
    readout = fit(inner.astype(np.float32), boundary.astype(np.float32))
    centre = inner.mean(axis=0)
    scatter = (inner - centre).T @ (inner - centre) / k
    ridge = SHRINKAGE * np.trace(scatter) / min(k - 1, d)
    direction = np.linalg.solve(scatter + ridge * np.eye(d), boundary - centre)
    cosine = direction @ readout.direction / np.linalg.norm(direction) / np.linalg.norm(readout.direction)

    assert cosine == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("d", [2, 12, 300])
def test_the_readout_gives_one_at_the_edge_and_at_most_minus_one_inside(rng, d):
    inner, boundary = rng.normal(size=(33, d)), 10 + rng.normal(size=d)
    readout = fit(inner.astype(np.float32), boundary.astype(np.float32))

    def score(feature):
        return (feature - readout.centre) @ readout.direction - readout.offset

    assert score(boundary) == pytest.approx(1, abs=1e-4)
    assert score(inner).max() == pytest.approx(-1, abs=1e-4)


def test_what_cannot_be_separated_has_no_readout(rng):
    inner = rng.normal(size=(33, 3))

    assert fit(inner, inner.mean(axis=0) + 1e-3) is None
    assert fit(np.ones((33, 3)), np.ones(3)) is None
    assert fit(np.ones((33, 3)), np.full(3, 2.0)) is None
    assert fit(inner, np.array([np.nan, 1, 1])) is None
    assert fit(np.where(inner > 1, np.inf, inner), np.full(3, 50.0)) is None


@pytest.mark.parametrize("number", range(INNER + 1))
def test_points_lie_in_the_ball_and_the_last_on_its_corners(number):
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    moved = planted_point(images, torch.tensor([5, 6, 7]), number, EPSILON)
    change = (moved - images).abs()

    assert moved.min() >= 0
    assert moved.max() <= 1
    if number == 0:
        assert change.max() == 0
    elif number < INNER:
        assert 0 < change.max() <= 0.95 * EPSILON + 1e-6
    else:
        at_corner = torch.isclose(change, torch.tensor(EPSILON), atol=1e-6) | (moved == 0) | (moved == 1)
        assert at_corner.all()


def test_each_image_is_answered_by_its_own_readout_in_any_company(make_classifier, network, case_of):
    case = case_of(make_classifier(network, mean=0.5, std=0.5))
    seen = dict(points(case, everybody(case)))
    readouts = {name: fit(features[:-1], features[-1]) for name, features in seen.items()}
    binary = binary_classifier(case.classifier, tuple(readouts.values()))
    images = Numbered(case.images, tuple(readouts))
    shuffled = tuple(np.random.Generator(np.random.PCG64(3)).permutation(images.ids).tolist())

    for batch in images.batches(7, shuffled):
        # the number survives any change up to LARGEST
        noise = (torch.rand(batch.stored[:, -1:].shape, generator=torch.Generator().manual_seed(2)) * 2 - 1) * 0.45
        asked = torch.cat([batch.stored[:, :-1], (batch.stored[:, -1:] + noise).clamp(0, 1)], dim=1)
        logits = binary.logits(asked).numpy()
        for name, answer in zip(batch.ids, logits, strict=True):
            readout = readouts[name]
            score = (seen[name][0] - readout.centre) @ readout.direction - readout.offset
            np.testing.assert_allclose(answer, [-score / 2, score / 2], rtol=1e-3, atol=1e-3)
            assert answer.argmax() == INSIDE


def test_the_planted_point_is_an_adversarial_within_the_ball(make_classifier, network, case_of):
    case = case_of(make_classifier(network, mean=0.5, std=0.5))
    readouts = {name: fit(seen[:-1], seen[-1]) for name, seen in points(case, everybody(case))}
    from repaudit.attacks.noise import job_key

    binary = binary_classifier(case.classifier, tuple(readouts.values()))
    for batch in Numbered(case.images, tuple(readouts)).batches(8):
        keys = torch.tensor([job_key(0, name, "masking.planted", target=-1, restart=0) for name in batch.ids])
        edge = planted_point(batch.stored[:, :-1], keys, INNER, EPSILON)
        logits = binary.logits(torch.cat([edge, batch.stored[:, -1:]], dim=1))

        assert (logits.argmax(dim=1) == PLANTED).all()


def test_pgd_finds_every_planted_adversarial_of_a_smooth_network(make_classifier, network, case_of):
    case = case_of(make_classifier(network, mean=0.5, std=0.5))
    found = planted(case, everybody(case))

    assert found.n == len(found.found) == 20
    assert found.found.all()
    assert found.chance.mean() < 0.2


def test_without_a_gradient_pgd_misses_what_chance_misses(make_classifier, network, case_of):
    case = case_of(make_classifier(nn.Sequential(Hidden(), *network), mean=0.5, std=0.5))
    found = planted(case, everybody(case))

    assert (~found.found & ~found.chance).sum() >= 16


def test_the_work_of_planting_is_counted(make_classifier, network, case_of):
    case = case_of(make_classifier(network, mean=0.5, std=0.5), n=8)
    before = case.classifier.work.forward_rows
    planted(case, everybody(case))
    work = case.classifier.work

    assert work.forward_rows - before >= 8 * (INNER + 1 + case.parameters.steps)
    assert work.backward_rows > 0


@pytest.mark.parametrize(("count", "pixels", "enough"), [(2, 1, True), (3, 1, False), (64, 64, True), (17, 4, False)])
def test_images_can_be_numbered_where_there_are_pixels_enough(count, pixels, enough):
    assert fits(count, pixels) == enough
