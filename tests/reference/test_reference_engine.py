"""The published AutoAttack as a second engine: what it says is judged here, and what it does is undone."""

import importlib.util
import logging
import sys

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import presets, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.attacks.verdict import CODES, Outcome
from repaudit.case import EvaluationShape
from repaudit.errors import InvalidModel, InvalidProfile
from repaudit.progress import SilentProgress

if importlib.util.find_spec("pyautoattack") is None:
    pytest.skip("pyautoattack is not installed", allow_module_level=True)

import pyautoattack
from pyautoattack import checks as reference_checks

from repaudit.attacks import reference
from repaudit.attacks.reference import evaluate_by_reference

SHAPE = EvaluationShape(rows=16, calls=2)
BROKEN, ROBUST, ERROR = CODES[Outcome.BROKEN], CODES[Outcome.ROBUST], CODES[Outcome.ERROR]
STANDARD = ["apgd-ce", "apgd-t", "fab-t", "square"]


@pytest.fixture
def linear(make_classifier):
    """A network whose smallest adversarial perturbation is known: 27 grey pixels near the middle of their range."""

    def make(classes):
        weight = torch.randn(classes, 27, generator=torch.Generator().manual_seed(7))
        network = nn.Sequential(nn.Flatten(), nn.Linear(27, classes))
        network[1].weight.data = weight
        network[1].bias.data.zero_()
        return make_classifier(network)

    return make


@pytest.fixture
def middling(make_images):
    def make(classifier, n):
        stored = torch.randint(90, 166, (n, 3, 3, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
        with torch.no_grad():
            labels = classifier.logits(stored.float() / 255).argmax(1)
        return make_images(stored, labels.numpy())

    return make


@pytest.fixture
def second_opinion(subjects_of):
    def run(classifier, images, raw, *, subjects=None, seed=0, shape=SHAPE, progress=None):
        return evaluate_by_reference(
            classifier,
            images,
            subjects_of(classifier, images) if subjects is None else subjects,
            resolve(raw),
            seed=seed,
            shape=shape,
            progress=SilentProgress() if progress is None else progress,
        )

    return run


def distances(classifier, images, norm):
    """What it takes to bring each image to the nearest other class of a linear network."""
    weight = classifier.network[1].weight.double()
    logits = images.stored.double().flatten(1) / 255 @ weight.T
    labels = torch.from_numpy(images.labels)
    own = logits.gather(1, labels[:, None])
    steepness = torch.linalg.vector_norm(weight[labels][:, None] - weight[None], ord=1 if norm == "linf" else 2, dim=2)
    return torch.where(steepness > 0, (own - logits) / steepness, torch.inf).amin(dim=1).numpy()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_linear_network_is_broken_exactly_where_a_hyperplane_is_within_reach(linear, middling, second_opinion, norm):
    classifier = linear(4)
    images = middling(classifier, 30)
    distance = distances(classifier, images, norm)
    epsilon = float(np.median(distance))

    verdicts = second_opinion(classifier, images, {"name": "apgd_t", "norm": norm, "epsilon": epsilon})

    clear = np.abs(distance / epsilon - 1) > 0.01
    np.testing.assert_array_equal((verdicts.outcome == BROKEN)[clear], (distance < epsilon)[clear])
    assert clear.sum() >= 24
    assert (verdicts.perturbation <= epsilon + 1e-6).all()
    assert (verdicts.margin[verdicts.outcome == BROKEN] <= 0).all()


def test_chunks_and_batches_cover_every_image_once(linear, middling, second_opinion, monkeypatch):
    classifier = linear(4)
    images = middling(classifier, 30)
    distance = distances(classifier, images, "linf")
    epsilon = float(np.median(distance))
    monkeypatch.setattr(reference, "CHUNK", 8)
    counted = []

    class Counting(SilentProgress):
        def stage(self, name, total, unit):
            counted.append(-total)
            stage = super().stage(name, total, unit)

            class Watched:
                def __enter__(self):
                    stage.__enter__()
                    return self

                def __exit__(self, *details):
                    return stage.__exit__(*details)

                def advance(self, count):
                    counted.append(count)

            return Watched()

    verdicts = second_opinion(
        classifier,
        images,
        {"name": "apgd_t", "epsilon": epsilon},
        shape=EvaluationShape(rows=4, calls=1),
        progress=Counting(),
    )

    clear = np.abs(distance / epsilon - 1) > 0.01
    np.testing.assert_array_equal((verdicts.outcome == BROKEN)[clear], (distance < epsilon)[clear])
    assert sum(counted) == 0
    assert len(counted) == 5


def test_part_after_part_breaks_what_the_reference_breaks_in_one_go(small_classifier, predicted_images, second_opinion):
    images = predicted_images(small_classifier, 24)
    verdicts = second_opinion(small_classifier, images, {"name": "autoattack", "epsilon": 0.012})

    pixels, labels = images.stored.float() / 255, torch.from_numpy(images.labels)
    one_go = {}
    with torch.random.fork_rng():
        network = nn.Sequential(Normalise(0.5), small_classifier.network)
        engine = pyautoattack.AutoAttack(network, eps=0.012, seed=0, version="standard")
        engine.apgd_targeted.n_target_classes = engine.fab.n_target_classes = 4
        adversarial, _ = engine.run_standard_evaluation(pixels, labels, batch_size=32)
        with torch.no_grad():
            one_go["broken"] = (network(adversarial).argmax(1) != labels).numpy()

    sure = ~verdicts.marginal
    np.testing.assert_array_equal((verdicts.outcome == BROKEN)[sure], one_go["broken"][sure])
    assert sure.sum() >= 22
    size = (adversarial - pixels).flatten(1).abs().amax(1).numpy()
    np.testing.assert_allclose(verdicts.perturbation[sure], size[sure], atol=1e-6)
    assert verdicts.members == ("apgd_ce", "apgd_t", "fab_t", "square")
    assert ((verdicts.member >= 0) == (verdicts.outcome == BROKEN)).all()
    assert 0 < one_go["broken"].sum() < 24


class Normalise(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return (x - self.value) / self.value


def test_nothing_that_the_reference_does_to_the_process_is_left(linear, middling, second_opinion, caplog):
    classifier = linear(5)
    images = middling(classifier, 8)
    state, table = torch.random.get_rng_state(), dict(reference_checks.funcs)
    counts = []

    def trace(frame, event, argument):
        counts.append(event)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with caplog.at_level(logging.DEBUG):
            second_opinion(classifier, images, {"name": "apgd_ce", "epsilon": 0.01})
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)

    assert torch.equal(torch.random.get_rng_state(), state)
    assert reference_checks.funcs == table
    assert caplog.records == []
    assert not logging.getLogger("auto-attack").disabled


def test_a_network_that_differentiates_itself_does_not_make_the_next_one_look_so(
    make_classifier, second_opinion, middling
):
    class Dynamic(nn.Module):
        def forward(self, x):
            with torch.enable_grad():
                query = x.detach().requires_grad_()
                torch.autograd.grad(query.sum(), query)
            return x

    network = nn.Sequential(Dynamic(), nn.Flatten(), nn.Linear(27, 4))
    classifier = make_classifier(network)
    images = middling(classifier, 4)
    subjects = Subjects(ids=images.ids, labels=images.labels, logits=np.zeros((4, 4)))
    second_opinion(classifier, images, {"name": "apgd_ce", "epsilon": 0.01}, subjects=subjects)

    assert set(reference_checks.funcs.values()) == {0}


@pytest.mark.parametrize(("preset", "classes"), [("apgd_t", 3), ("apgd_t", 2), ("apgd_dlr", 2), ("autoattack", 3)])
def test_too_few_classes_are_refused_before_anything_is_paid_for(linear, middling, second_opinion, preset, classes):
    classifier = linear(classes)
    with pytest.raises(InvalidModel, match=f"the model has {classes}") as refused:
        second_opinion(classifier, middling(classifier, 4), {"name": preset, "epsilon": 0.01})

    assert refused.value.remedy == "--engine pool"


def test_fewer_targets_than_published_are_said(linear, middling, second_opinion):
    classifier = linear(4)

    verdicts = second_opinion(classifier, middling(classifier, 4), {"name": "apgd_t", "epsilon": 0.5})

    assert verdicts.notes == ("3 targets in place of 9 in apgd_t: there are 4 classes",)


@pytest.mark.parametrize(
    "raw",
    [
        {"name": "fgsm", "epsilon": 0.01},
        {"name": "apgd_ce", "epsilon": 0.01, "steps": 20},
        {"name": "fast", "epsilon": 0.01},
    ],
    ids=lambda raw: raw["name"],
)
def test_what_the_reference_does_not_have_is_refused(linear, middling, second_opinion, raw):
    classifier = linear(5)
    with pytest.raises(InvalidProfile, match="pyautoattack cannot run") as refused:
        second_opinion(classifier, middling(classifier, 4), raw)

    assert refused.value.remedy == "--engine pool"


def test_no_image_gives_no_verdict(linear, middling, second_opinion):
    nobody = Subjects(ids=(), labels=np.empty(0, dtype=np.int64), logits=np.empty((0, 5)))

    verdicts = second_opinion(
        linear(5), middling(linear(5), 4), {"name": "autoattack", "epsilon": 0.01}, subjects=nobody
    )

    assert len(verdicts) == 0
    assert verdicts.outcome.shape == verdicts.margin.shape == (0,)


def test_channels_last_inside_the_network_does_not_end_it(make_classifier, make_images, second_opinion):
    class Last(nn.Module):
        def forward(self, x):
            return x.contiguous(memory_format=torch.channels_last)

    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(Last(), nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 5 * 3, 5))
        stored = torch.randint(0, 256, (6, 3, 7, 5), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    network.to(memory_format=torch.channels_last)
    classifier = make_classifier(network)
    with torch.no_grad():
        images = make_images(stored, classifier.logits(stored.float() / 255).argmax(1).numpy())

    verdicts = second_opinion(classifier, images, {"name": "apgd_t", "epsilon": 0.9})

    assert verdicts.count(Outcome.BROKEN) == 6


def test_a_returned_image_without_finite_logits_is_an_error(make_classifier, make_images, second_opinion):
    class Overflowing(nn.Module):
        """The second class overflows off the grey of the images."""

        def forward(self, x):
            features = x.flatten(1)[:, :4] * torch.tensor([1.0, 0.0, 0.8, 0.7])
            off = ((x - 0.5).abs() > 1e-3).flatten(1).any(dim=1).float()
            return features + off[:, None] * torch.tensor([0.0, 1e30, 0.0, 0.0])

    network = nn.Sequential(Overflowing(), nn.Linear(4, 4))
    network[1].weight.data = torch.diag(torch.tensor([1.0, 1e30, 1.0, 1.0]))
    nn.init.zeros_(network[1].bias)
    classifier = make_classifier(network)
    images = make_images(torch.full((5, 3, 3, 3), 0.5), np.zeros(5))

    verdicts = second_opinion(classifier, images, {"name": "apgd_ce", "epsilon": 0.05})

    assert verdicts.count(Outcome.ERROR) == 5
    assert np.isnan(verdicts.margin).all()
    assert not verdicts.marginal.any()


def test_work_is_counted_as_hooks_on_the_network_count_it(linear, middling, second_opinion):
    classifier = linear(5)
    images = middling(classifier, 8)
    passed = {"forward": 0, "backward": 0}

    def count(_, __, logits):
        passed["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: passed.update(backward=passed["backward"] + len(gradient)))

    subjects = Subjects(ids=images.ids, labels=images.labels, logits=np.zeros((8, 5)))
    hook = classifier.network.register_forward_hook(count)
    before = classifier.work.forward_rows, classifier.work.backward_rows
    second_opinion(classifier, images, {"name": "apgd_t", "epsilon": 1e-4}, subjects=subjects)
    hook.remove()

    assert passed["backward"] == 8 * 4 * 101  # nothing breaks: 4 targets, 101 gradients each
    assert classifier.work.backward_rows - before[1] == passed["backward"]
    assert classifier.work.forward_rows - before[0] == passed["forward"]


@pytest.mark.slow
def test_both_engines_agree_on_a_robust_network(real_network, cifar_images, subjects_of):
    classifier, images = real_network("resnet2b"), cifar_images(40)
    subjects = subjects_of(classifier, images, rows=32)
    setting = resolve({"name": "autoattack", "epsilon": "4/255"})
    shape = EvaluationShape(rows=32, calls=1)
    ours, theirs = (
        engine(classifier, images, subjects, setting, seed=0, shape=shape, progress=SilentProgress())
        for engine in (evaluate, evaluate_by_reference)
    )

    sure = ~(ours.marginal | theirs.marginal)
    assert abs(ours.count(Outcome.BROKEN) - theirs.count(Outcome.BROKEN)) <= 2
    assert ((ours.outcome == theirs.outcome) | ~sure).sum() >= len(ours) - 2


def test_every_attack_that_the_reference_has_is_a_preset_of_ours():
    assert reference.PARTS.keys() <= presets().keys()
    assert set(STANDARD) <= set(reference.PARTS.values())
