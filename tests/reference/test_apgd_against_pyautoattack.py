"""Auto-PGD against the published implementation, from the same starts: the same iterates, the same verdicts."""

import importlib.util
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import UNTARGETED, Rows, apgd
from repaudit.attacks.apgd import ApgdOptions, AutoPgd, Figures
from repaudit.attacks.threat import Norm, Threat
from repaudit.attacks.verdict import CODES, MARGINAL, Outcome

BROKEN = CODES[Outcome.BROKEN]
THEIR_NORM = {Norm.LINF: "Linf", Norm.L2: "L2"}
OBJECTIVES = ["ce", "dlr", "targeted_dlr"]


@pytest.fixture(scope="module")
def published():
    """The classes of pyautoattack."""
    if importlib.util.find_spec("pyautoattack") is None:
        pytest.skip("pyautoattack is not installed")
    from pyautoattack import autopgd_base

    return autopgd_base


def theirs(published, pixels, threat, objective, steps=100, classes=10):
    """Their attack, with as many targets as there are: it fails where there are fewer than 9."""
    common = {"n_iter": steps, "norm": THEIR_NORM[threat.norm], "eps": threat.epsilon, "rho": 0.75, "device": "cpu"}
    if objective == "targeted_dlr":
        return published.APGDAttack_targeted(pixels, n_target_classes=min(9, classes - 1), **common)
    return published.APGDAttack(pixels, loss=objective, **common)


@pytest.fixture
def smooth():
    """A network without kinks in float64, images and noise: only the attack's own rules decide where it goes."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 5 * 4, 7))
        network[0].weight.data *= 6
        images, drawn = torch.rand(2, 24, 3, 7, 6, dtype=torch.float64)
    return network.double().eval(), images, drawn


@pytest.fixture
def in_float64():
    """Their attack makes its own tensors in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def on_sphere(threat, drawn, clean):
    """Their start from uniform draws in [0, 1) (taken for normal ones in L2: any direction will do)."""
    drawn = 2 * drawn - 1
    length = drawn.flatten(1).abs().amax(1) if threat.norm is Norm.LINF else drawn.flatten(1).norm(dim=1)
    return (clean + threat.epsilon * drawn / length[:, None, None, None]).clamp(0, 1)


class FromGivenStart(AutoPgd):
    """Starts where it is told."""

    def __init__(self, threat, options, start_of):
        super().__init__(threat, options)
        self._start_of = start_of

    def _start(self, rows):
        return self._start_of(rows.clean)


def walk(attack, network, clean, labels, aims):
    """All queries of one job an image, (101, n, c, h, w), as the harness would ask them were nothing ever broken."""
    n = len(clean)
    attack.allocate(n, clean[0])
    queries, numbers = [], torch.arange(n)

    def rows(iteration):
        return Rows(numbers, clean, labels, aims, torch.full((n,), iteration), numbers)

    attack.begin(rows(0))
    for iteration in range(attack.steps + 1):
        queries.append(attack.propose(rows(iteration)).clone())
        if iteration < attack.steps:
            query = queries[-1].clone().requires_grad_()
            logits = network(query)
            objective = attack.objective(rows(iteration), logits)
            (gradient,) = torch.autograd.grad(objective.sum(), query)
            attack.update(rows(iteration), logits.detach(), objective.detach(), gradient)
    return torch.stack(queries)


def in_question(network, queries, labels):
    """(q, n) bool: queries up to each image's first misclassified one, after which nobody asks."""
    with torch.no_grad():
        wrong = torch.stack([network(query).argmax(1) != labels for query in queries])
    return torch.cumsum(wrong, 0) - wrong.long() == 0


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("steps", [100, 37, 1])
def test_every_iterate_is_theirs(published, smooth, in_float64, norm, objective, steps):
    network, clean, drawn = smooth
    threat = Threat(norm, 0.05 if norm is Norm.LINF else 0.2)
    labels = network(clean).argmax(1)
    targeted = objective == "targeted_dlr"
    aims = (labels + 1 + torch.arange(len(labels)) % 6) % 7 if targeted else torch.full_like(labels, UNTARGETED)
    start = on_sphere(threat, drawn, clean)
    ours = FromGivenStart(threat, ApgdOptions(objective=objective, steps=steps), lambda _: start)
    queries = walk(ours, network, clean, labels, aims)

    attack, recorded = theirs(published, network, threat, objective, steps), []
    attack.init_hyperparam(clean)
    attack.y_target = aims
    hook = network.register_forward_pre_hook(lambda _, inputs: recorded.append(inputs[0].detach().clone()))
    attack.attack_single_run(clean, labels, x_init=start)
    hook.remove()  # they write into their queries afterwards, hence the clones

    if norm is Norm.LINF:
        assert torch.equal(queries, torch.stack(recorded))
    else:
        # they add 1e-12 to lengths; where the label is third, DLR is constant and its gradient rounding noise
        counted = in_question(network, queries, labels)
        assert counted[-1].sum() >= 5
        assert (torch.stack(recorded) - queries)[counted].abs().max() < 1e-6
    if steps == 100:  # the comparison covers searches that halved their steps at different times
        assert len(Figures(*ours._figures).step.unique()) >= 2


@dataclass(frozen=True)
class Fight:
    """One network under one attack; `n` images before the wrong ones are left out."""

    network: str
    norm: Norm
    epsilon: float
    objective: str
    n: int = 32

    def __str__(self):
        return f"{self.network}-{self.norm}-{self.epsilon:.3g}-{self.objective}-{self.n}"


QUICK = [
    *(Fight("small", Norm.LINF, 2 / 255, objective) for objective in OBJECTIVES),
    *(Fight("small", Norm.L2, 0.1, objective) for objective in OBJECTIVES),
    *(Fight("resnet2b", Norm.LINF, 4 / 255, objective) for objective in OBJECTIVES[:2]),
    Fight("resnet2b", Norm.LINF, 4 / 255, "targeted_dlr", 12),
    *(Fight("resnet2b", Norm.L2, 0.5, objective) for objective in OBJECTIVES[:2]),
    *(Fight("cnn_a_mix", Norm.LINF, 2 / 255, objective) for objective in OBJECTIVES[:2]),
]
LONG = [
    *(Fight("resnet2b", Norm.LINF, 2 / 255, objective, 48) for objective in OBJECTIVES),
    Fight("resnet2b", Norm.LINF, 4 / 255, "targeted_dlr", 48),
    Fight("resnet2b", Norm.L2, 0.5, "targeted_dlr"),
    Fight("cnn_a_mix", Norm.LINF, 2 / 255, "targeted_dlr"),
    *(Fight("cnn_a_mix", Norm.L2, 0.25, objective) for objective in OBJECTIVES),
    *(Fight("resnet20", Norm.LINF, 1 / 255, objective, 24) for objective in OBJECTIVES),
    *(Fight("resnet20", Norm.L2, 0.1, objective, 24) for objective in OBJECTIVES),
]


@pytest.mark.parametrize("fight", [*QUICK, *(pytest.param(each, marks=pytest.mark.slow) for each in LONG)], ids=str)
def test_from_their_starts_the_same_images_are_broken(published, problem, fight, monkeypatch):
    case = problem(fight.network, fight.n)
    threat = Threat(fight.norm, fight.epsilon)
    generator = torch.Generator().manual_seed(17)
    starts = on_sphere(threat, torch.rand(case.images.shape, generator=generator), case.images)

    def start_of(clean):
        same = (clean[:, None] == case.images[None]).flatten(2).all(2)
        return starts[same.float().argmax(1)].clone()

    classes = case.classifier.card.classes_count
    attack = theirs(published, case.pixels, threat, fight.objective, classes=classes)
    single_run = attack.attack_single_run
    attack.attack_single_run = lambda x, y: single_run(x, y, x_init=start_of(x))
    with torch.random.fork_rng():
        adversarial = attack.perturb(case.images, case.labels)
    with torch.no_grad():
        logits = case.pixels(adversarial)
    success, unsure = logits.argmax(1) != case.labels, logits.topk(2).values.diff().squeeze(1).abs()
    unsure = unsure < MARGINAL * (logits.amax(1) - logits.amin(1))

    monkeypatch.setattr(
        apgd,
        "attack",
        replace(apgd.attack, build=lambda threat, options: FromGivenStart(threat, options, start_of)),
    )
    verdicts = case.verdicts(
        {"name": "apgd", "norm": fight.norm, "epsilon": fight.epsilon, "objective": fight.objective}
    )

    sure = ~verdicts.marginal & ~unsure.numpy()
    np.testing.assert_array_equal((verdicts.outcome == BROKEN)[sure], success.numpy()[sure])
    assert sure.mean() > 0.9
