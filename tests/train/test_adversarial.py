"""Searches for worse images and worse weights, against hand-made ones and against the attack that judges."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from repaudit.attacks import pgd, resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.verdict import Outcome
from repaudit.case import EvaluationShape
from repaudit.preprocessing import Preprocess
from repaudit.progress import SilentProgress
from repaudit.train.batches import Batches
from repaudit.train.distributed import Ranks
from repaudit.train.examples import Examples
from repaudit.train.loop import train
from repaudit.train.network import build
from repaudit.train.objectives import options_of
from repaudit.train.objectives._attack import (
    AttackOptions,
    against_answer,
    against_labels,
    climbed,
    nearby_start,
    start_keys,
    uniform_start,
)
from repaudit.train.objectives._trades import trades_loss
from repaudit.train.readiness import labelling_of, objective_of
from repaudit.train.targets import Labelling, one_hot
from repaudit.train.trainee import Normalised, Trainee

FEW = {"epsilon": "16/255", "step_size": "6/255", "steps": 3}


@pytest.fixture
def trained(run, material):
    """A run's network as an objective sees it, the objective and the first batch."""

    def make(name, method="onehot", ranks=None, network=None, **options):
        ranks = ranks or Ranks()
        one = run(method, objective={"name": name, **options})
        labelling = labelling_of(one, material.classes)
        built = network or build(one, material, labelling.extra).network
        trainee = Trainee(built.train(), labelling, dtype=torch.float32)
        objective = objective_of(one, material, lambda _: None, ranks, torch.device("cpu"))
        return objective, trainee, Batches(one, material, labelling, ranks).at(0, 0)[0]

    return make


@pytest.fixture
def smooth_network():
    """Without batch normalisation, so that rows do not depend on one another."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(1, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(180, 4))


def gradients(network):
    return {name: tensor.grad.clone() for name, tensor in network.named_parameters()}


def by_hand(network, images, start, gain, epsilon, size, steps):
    """PGD as its paper writes it, without a line of ours."""
    iterates, now = [], start
    for _ in range(steps):
        now = now.detach().requires_grad_()
        gain(network(now)).backward(inputs=[now])
        moved = now.detach() + size * now.grad.sign()
        now = torch.minimum(torch.maximum(moved, images - epsilon), images + epsilon).clamp(0, 1)
        iterates.append(now)
    return iterates


@pytest.mark.parametrize("start", ["clean", "uniform"])
def test_the_search_makes_the_iterates_of_the_attack_that_judges(
    start, smooth_network, make_classifier, predicted_images, subjects_of, monkeypatch
):
    classifier = make_classifier(smooth_network, channels=1, mean=0.4, std=0.3)
    images = predicted_images(classifier, 6)
    seen = []

    class Watched(pgd.ProjectedGradient):
        def propose(self, rows):
            seen.append((rows.clean.clone(), rows.labels.clone(), super().propose(rows).clone()))
            return super().propose(rows)

    watched = pgd.Method(summary="", options=pgd.PgdOptions, build=Watched, presets=pgd.attack.presets)
    monkeypatch.setattr(pgd, "attack", watched)
    raw = {"name": "pgd", "epsilon": "16/255", "steps": 4, "step_size": "6/255", "start": start}
    evaluate(
        classifier,
        images,
        subjects_of(classifier, images),
        resolve(raw),
        seed=3,
        shape=EvaluationShape(rows=6, calls=1),
        progress=SilentProgress(),
        kept=frozenset(images.ids),
    )
    (clean, labels, first), *later = seen

    trainee = Trainee(Normalised(smooth_network, [0.4], [0.3]), Labelling(classes=4), dtype=torch.float32)
    assert len(later) == 4
    for steps, (_, _, wanted) in enumerate(later, start=1):
        options = AttackOptions.model_validate(FEW | {"steps": steps})
        found = against_labels(trainee, clean, one_hot(labels, 4), first, options)
        assert torch.allclose(found, wanted, rtol=0, atol=1e-6)


def test_a_start_is_uniform_in_the_ball_and_the_images_own(trained):
    _, _, step = trained("at")
    keys = start_keys(step)
    grey = torch.full((16, 1, 8, 8), 0.5)
    moved = uniform_start(grey, keys, 0.1) - grey

    assert moved.abs().max() <= 0.1
    assert torch.allclose(moved.std(), torch.tensor(0.2 / 12**0.5), rtol=0.1)
    assert torch.equal(uniform_start(grey[3:5], keys[3:5], 0.1), (grey + moved)[3:5].clamp(0, 1))
    assert len({row.sum().item() for row in moved}) == 16


def test_noise_differs_from_epoch_to_epoch_and_from_seed_to_seed(run, material):
    labelling = Labelling(classes=4)
    batches = {seed: Batches(run(seed=seed), material, labelling, Ranks()) for seed in (0, 1)}
    keys = [start_keys(batches[seed].at(epoch, 0)[0]) for seed in (0, 1) for epoch in (0, 1)]

    assert len(set(torch.cat(keys).tolist())) == 4 * 16


def test_a_near_start_has_a_thousandth_of_deviation(trained):
    _, _, step = trained("trades")
    grey = torch.full((16, 1, 8, 8), 0.5)
    moved = nearby_start(grey, start_keys(step)) - grey

    assert torch.allclose(moved.std(), torch.tensor(0.001), rtol=0.1)


def test_the_search_of_trades_raises_the_divergence_as_by_hand(trained):
    _, trainee, step = trained("trades", "vs")
    start = nearby_start(step.images, start_keys(step))
    network = trainee.network.eval()
    with torch.no_grad():
        natural = network(step.images).softmax(1)

    def divergence(logits):
        return (natural * (natural.log() - logits.log_softmax(1))).sum()

    wanted = by_hand(network, step.images, start, divergence, 16 / 255, 6 / 255, 3)[-1]
    found = against_answer(trainee, step.images, start, AttackOptions.model_validate(FEW))

    assert torch.allclose(found, wanted, rtol=0, atol=1e-6)


def test_virtual_classes_are_attacked_as_one_super_class(trained):
    _, trainee, step = trained("at", "vs")
    options = AttackOptions.model_validate(FEW)
    start = uniform_start(step.images, start_keys(step), options.epsilon)

    def superclass(logits):
        together = torch.logsumexp(logits[:, 4:], 1, keepdim=True)
        return F.cross_entropy(torch.cat([logits[:, :4], together], 1), step.labels, reduction="sum")

    wanted = climbed(trainee, step.images, start, options, superclass)
    found = against_labels(trainee, step.images, step.targets, start, options)

    # the two sums round differently: a sign of a gradient next to zero may flip
    assert (found - wanted).abs().gt(1e-6).float().mean() < 0.01


def test_the_loss_of_trades_is_its_formula_and_flows_through_both_answers():
    generator = torch.Generator().manual_seed(3)
    logits = (torch.randn(12, 7, generator=generator) * 2).requires_grad_()
    targets = torch.rand(6, 7, generator=generator).softmax(1)
    exact = logits.detach().double().requires_grad_()
    p, q = exact[:6].softmax(1), exact[6:].softmax(1)
    cross = -(targets * p.log()).sum(1)
    wanted = (cross + 2.5 * (p * (p / q).log()).sum(1)).sum() / 6
    wanted.backward()

    found = trades_loss(logits, targets, 2.5)
    found.backward()

    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert torch.allclose(logits.grad.double(), exact.grad, atol=1e-6)


@pytest.mark.parametrize("method", ["onehot", "ls", "vs"])
def test_adversarial_training_learns_soft_labels_at_attacked_images(trained, method):
    objective, trainee, step = trained("at", method, **FEW)
    start = uniform_start(step.images, start_keys(step), 16 / 255)
    network, before = trainee.network.eval(), weights(trainee.network)
    worse = by_hand(
        network, step.images, start, lambda logits: F.cross_entropy(logits, step.labels), 16 / 255, 6 / 255, 3
    )[-1]
    network.train()
    F.cross_entropy(network(worse), step.targets).backward()
    wanted = gradients(network)
    network.zero_grad()
    network.load_state_dict(before)

    objective.backward(step, trainee)

    assert all(torch.allclose(found, wanted[name], atol=1e-5) for name, found in gradients(network).items())


def test_trades_learns_from_clean_and_worse_images_in_one_pass(trained):
    objective, trainee, step = trained("trades", "vs", beta=2.0, **FEW)
    start = nearby_start(step.images, start_keys(step))
    worse = against_answer(trainee, step.images, start, AttackOptions.model_validate(FEW))
    state = {name: tensor.clone() for name, tensor in trainee.network.state_dict().items()}
    wanted = trades_loss(trainee.network(torch.cat([step.images, worse])), step.targets, 2.0)
    trainee.network.load_state_dict(state)

    found = objective.backward(step, trainee)

    assert torch.equal(found.loss, wanted.detach())
    counted = [tensor for name, tensor in trainee.network.state_dict().items() if name.endswith("batches_tracked")]
    assert {int(tensor) for tensor in counted} == {1}


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def stepped(objective, trainee, step, rate=0.1):
    """One step of plain gradient descent."""
    trainee.network.zero_grad()
    objective.backward(step, trainee)
    torch.optim.SGD(trainee.network.parameters(), lr=rate).step()
    objective.after(trainee)
    return weights(trainee.network)


@pytest.mark.parametrize("method", ["onehot", "vs"])
def test_a_perturbation_of_no_length_leaves_trades(trained, method):
    trades = stepped(*trained("trades", method, **FEW))
    still = stepped(*trained("awp", method, gamma=0.0, warmup=0, **FEW))
    waiting = stepped(*trained("awp", method, gamma=0.5, warmup=1, **FEW))

    for name, tensor in trades.items():
        assert torch.equal(still[name], tensor)
        assert torch.equal(waiting[name], tensor)


def test_weights_step_by_the_gradient_at_perturbed_weights_from_where_they_were(trained, smooth_network):
    network = Normalised(smooth_network, [0.5], [0.5])
    objective, trainee, step = trained("awp", network=network, gamma=0.05, warmup=0, **FEW)
    before = weights(network)
    worse = against_answer(
        trainee, step.images, nearby_start(step.images, start_keys(step)), AttackOptions.model_validate(FEW)
    )
    pair = torch.cat([step.images, worse])

    trades_loss(network(pair), step.targets, 6.0).backward()
    uphill = gradients(network)
    perturbed = {}
    for name, weight in before.items():
        if weight.ndim > 1:
            perturbed[name] = weight + 0.05 * weight.norm() / uphill[name].norm() * uphill[name]
        else:
            perturbed[name] = weight
    network.load_state_dict(perturbed)
    network.zero_grad()
    trades_loss(network(pair), step.targets, 6.0).backward()
    wanted = {name: before[name] - 0.1 * gradient for name, gradient in gradients(network).items()}
    network.load_state_dict(before)

    found = stepped(objective, trainee, step)

    assert all(not torch.equal(perturbed[name], before[name]) for name in before if before[name].ndim > 1)
    assert all(torch.allclose(found[name], wanted[name], atol=1e-6) for name in wanted)


def test_running_statistics_see_one_pass_of_a_perturbed_step(trained):
    objective, trainee, step = trained("awp", "vs", gamma=0.05, warmup=0, **FEW)
    passes = []
    trainee.network.network[1].register_forward_hook(lambda layer, *_: passes.append(layer.training))
    start = weights(trainee.network)

    objective.backward(step, trainee)
    in_training = passes.count(True)
    perturbed = weights(trainee.network)
    objective.after(trainee)

    worse = against_answer(
        Trainee(reloaded(trainee.network, start), trainee.labelling, dtype=torch.float32),
        step.images,
        nearby_start(step.images, start_keys(step)),
        AttackOptions.model_validate(FEW),
    )
    buffers = {name for name, _ in trainee.network.named_buffers()} & start.keys()
    moved = {name: tensor for name, tensor in perturbed.items() if name not in buffers}
    once = reloaded(trainee.network, start | moved).train()
    once(torch.cat([step.images, worse]))
    assert in_training == 2
    assert all(torch.equal(once.state_dict()[name], perturbed[name]) for name in buffers)


def reloaded(network, state):
    network.load_state_dict(state)
    return network


def test_a_widened_heads_matrix_is_perturbed_as_the_one_it_stands_for(trained):
    objective, trainee, step = trained("awp", "vs", gamma=0.05, warmup=0, **FEW)
    head = trainee.network.network[15]
    before = torch.cat([head.real.weight, head.virtual.weight]).detach().clone()
    biases = torch.cat([head.real.bias, head.virtual.bias]).detach().clone()

    objective.backward(step, trainee)

    shift = torch.cat([head.real.weight, head.virtual.weight]).detach() - before
    assert shift.norm().item() == pytest.approx(0.05 * before.norm().item(), rel=1e-4)
    assert torch.equal(torch.cat([head.real.bias, head.virtual.bias]), biases)


def test_processes_perturb_weights_by_the_gradient_of_their_common_batch(trained, smooth_network):
    network = Normalised(smooth_network, [0.5], [0.5])
    before = weights(network)
    raw = {"gamma": 0.05, "warmup": 0, **FEW}
    whole, trainee, step = trained("awp", network=network, **raw)
    whole.backward(step, trainee)
    wanted = weights(network)

    class Watching(Ranks):
        """The second process keeps what it found; the first adds it to what it finds itself."""

        found = []  # noqa: RUF012

        def total(self, values):
            if not self.first:
                self.found.append(values.clone())
                return values
            return values + self.found.pop(0)

    for rank in (1, 0):
        part, trainee, half = trained("awp", network=reloaded(network, before), ranks=Watching(rank, 2), **raw)
        part.backward(half, trainee)

    assert all(torch.allclose(tensor, wanted[name], atol=1e-6) for name, tensor in weights(network).items())


@pytest.mark.parametrize("name", ["at", "trades", "awp"])
def test_a_search_leaves_modes_and_gradients_as_they_were(trained, name):
    objective, trainee, step = trained(name, **FEW)
    frozen = trainee.network.network[0].weight.requires_grad_(False)
    trainee.network.network[1].eval()
    modes = [module.training for module in trainee.network.modules()]

    objective.backward(step, trainee)
    objective.after(trainee)

    assert [module.training for module in trainee.network.modules()] == modes
    assert [parameter.requires_grad for parameter in trainee.network.parameters()].count(False) == 1
    assert frozen.grad is None


NETWORK = """
from torch import nn

def network(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 48, 3, 2, 1), nn.BatchNorm2d(48), nn.ReLU(),
        nn.Flatten(), nn.Linear(768, num_classes),
    )
"""


@pytest.fixture
def small_cifar(assets, material):
    """2,000 images of CIFAR-10 to train on and 250 to test on."""

    def read(file):
        stored = np.load(assets / "cifar10" / file)
        images = torch.from_numpy(stored["images"]).permute(0, 3, 1, 2).contiguous()
        return Examples(stored=images, labels=torch.from_numpy(stored["labels"]).long())

    preprocess = Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3, size=(32, 32), source="test")
    train_on, test_on = read("cifar10_train_2000.npz"), read("cifar10_test_250.npz")
    return replace(material, train=train_on, test=test_on, preprocess=preprocess, classes=10)


@pytest.mark.slow
def test_more_images_withstand_an_attack_after_adversarial_training(
    small_cifar, run, conditions, make_classifier, make_images, subjects_of, tmp_path
):
    images = make_images(small_cifar.test.stored, small_cifar.test.labels.numpy())
    (tmp_path / "network.py").write_text(NETWORK)

    def robust(name, **options):
        asked = run(
            network={"arch": f"py:{tmp_path}/network.py:network"},
            epochs=20,
            batch_size=50,
            optimizer={"rate": 0.05},
            augmentation={"pad": 2, "flip": True},
            objective={"name": name, **options},
        )
        network = train(asked, small_cifar, conditions(name)).network.network
        classifier = make_classifier(network.eval(), mean=0.5, std=0.25)
        verdicts = evaluate(
            classifier,
            images,
            subjects_of(classifier, images, rows=50),
            resolve({"name": "pgd", "epsilon": "2/255", "steps": 10, "step_size": "0.5/255"}),
            seed=0,
            shape=EvaluationShape(rows=50, calls=1),
            progress=SilentProgress(),
        )
        return verdicts.count(Outcome.ROBUST) / len(images)

    search = {"epsilon": "2/255", "step_size": "1.5/255", "steps": 2}
    plain, hardened, traded = robust("standard"), robust("at", **search), robust("trades", **search)

    enough = plain + 2 * (0.5 / 250) ** 0.5  # two standard errors, at most, of a difference of shares of 250 images
    assert hardened > enough
    assert traded > enough


def test_options_of_a_search_have_the_papers_defaults(recipe):
    found = {name: options_of(recipe(objective={"name": name}).objective) for name in ("at", "trades", "awp")}

    for options in found.values():
        assert (options.epsilon, options.step_size, options.steps) == (8 / 255, 2 / 255, 10)
    assert found["trades"].beta == found["awp"].beta == 6
    assert found["awp"].gamma == 0.005
