"""Square against its authors' code: with their draws the same queries, with our own as many robust images."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import Rows
from repaudit.attacks._square_euclidean import EuclideanSquare
from repaudit.attacks._square_linf import LinfSquare
from repaudit.attacks._square_patterns import pattern
from repaudit.attacks.threat import Norm, Threat
from repaudit.attacks.verdict import CODES, Outcome

if importlib.util.find_spec("pyautoattack") is None:
    pytest.skip("pyautoattack is not installed", allow_module_level=True)

from pyautoattack.square import SquareAttack

BROKEN = CODES[Outcome.BROKEN]
NORMS = list(Norm)
THEIRS = {Norm.LINF: "Linf", Norm.L2: "L2"}
OURS = {Norm.LINF: LinfSquare, Norm.L2: EuclideanSquare}
CHANNELS, SIDE, TILES = 3, 16, 25


class Recorded(SquareAttack):
    """Theirs, with every draw kept in order; signs are the same for all images."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.draws = []

    def random_choice(self, shape):
        one = super().random_choice([1, *shape[1:]] if len(shape) == 4 else shape)
        self.draws.append(one.flatten())
        return one.expand(shape)

    def random_int(self, low=0, high=1, shape=(1,)):
        drawn = super().random_int(low, high, list(shape))
        self.draws.append((int(drawn), high))
        return drawn

    def eta(self, s):
        found = super().eta(s)
        upright = found[: s // 2].ge(0).all() and found[s // 2 :].le(0).all()
        self.draws.append(int(not upright))
        return found


def uniform_of_sign(sign):
    return 0.5 + sign / 4


def replayed(norm, draws):
    """Our search with those draws: what uniforms would have to be for our rules to give them."""
    draws = iter(draws)

    def change():
        if norm is Norm.LINF:
            top, left, signs = next(draws), next(draws), next(draws)
            return [place(top), place(left), 0, 0, 0, *uniform_of_sign(signs)]
        top, left, low, right, turned, signs = (next(draws) for _ in range(6))
        return [place(top), place(left), place(low), place(right), 0.25 + turned / 2, *uniform_of_sign(signs)]

    def start():
        if norm is Norm.LINF:
            return uniform_of_sign(next(draws))
        tiles = [(next(draws), next(draws)) for _ in range(TILES)]
        turned = torch.tensor([0.25 + each / 2 for each, _ in tiles])
        return torch.cat([turned, uniform_of_sign(torch.stack([signs for _, signs in tiles], dim=1)).flatten()])

    def place(drawn):
        value, count = drawn  # they draw from `count` places, we from one more
        return (value + 0.5) / (count + 1)

    known = {0: start()}
    while len(known) < 10_000:
        try:
            known[len(known)] = torch.tensor(change())
        except StopIteration:
            break
        except RuntimeError:  # a generator that ran out within a change
            break

    class Replayed(OURS[norm]):
        def drawn(self, keys, step, count):
            none = torch.full((count,), 0.5)
            return torch.stack([known[k] if k in known and len(known[k]) == count else none for k in step.tolist()])

    return Replayed


class Doubled(nn.Module):
    """A smooth network that computes in float64 and keeps what it is asked."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(12)
            self.layers = nn.Sequential(
                nn.Conv2d(CHANNELS, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 144, 6)
            ).double()
        self.asked = []

    def forward(self, x):
        logits = self.layers(4 * x.double() - 2)
        self.asked.append(x.clone())
        return logits


def lead(logits, labels):
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, labels[:, None]).squeeze(1)


@pytest.mark.parametrize(("norm", "epsilon"), [(Norm.LINF, 0.03), (Norm.L2, 0.4)])
def test_with_their_draws_every_query_is_theirs(norm, epsilon):
    network, steps = Doubled(), 260
    images = torch.rand(9, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        labels = network(images).argmax(1)
    theirs = Recorded(network, norm=THEIRS[norm], eps=epsilon, n_queries=steps, resc_schedule=False)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(6)
        theirs.init_hyperparam(images)
        network.asked.clear()
        theirs.attack_single_run(images, labels)
    asked = list(network.asked)

    attack = replayed(norm, theirs.draws)(Threat(norm, epsilon), queries=steps, p_init=0.8, restarts=1)
    number = torch.arange(len(images))
    rows = Rows(number, images, labels, number * 0 - 1, number * 0, number)
    attack.allocate(len(images), images[0])
    attack.begin(rows)
    left = number
    with torch.no_grad():
        for step, query in enumerate(asked):
            now = rows.select(left)
            now = Rows(now.index, now.clean, now.labels, now.targets, torch.full_like(left, step), now.keys)
            mine = attack.propose(now).clamp(0, 1)
            torch.testing.assert_close(mine, query, atol=2e-6, rtol=0, msg=lambda text, k=step: f"query {k}: {text}")
            logits = network(mine)
            attack.update(now, logits, None, None)
            left = left[lead(logits, now.labels) < 0]

    assert len(asked) == steps + 1
    assert 0 < len(left) < len(images)


@pytest.mark.parametrize("side", [1, 2, 3, 6, 7, 15, 29])
def test_patterns_equal_theirs(side):
    theirs = SquareAttack(None, norm="L2", device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = [theirs.eta(side).double() for _ in range(12)]

    for each in found:
        assert min(float((each - ours).abs().max()) for ours in pattern(side)) < 1e-6


@pytest.mark.parametrize(
    ("count", "queries"), [(40, 250), pytest.param(60, 5000, marks=pytest.mark.slow)], ids=["short", "published"]
)
def test_our_own_draws_leave_as_many_images_robust_as_theirs(problem, count, queries):
    case = problem("resnet2b", count)
    theirs = SquareAttack(case.pixels, norm="Linf", eps=4 / 255, n_queries=queries, resc_schedule=False)
    with torch.random.fork_rng(), torch.no_grad():
        adversarial = theirs.perturb(case.images, case.labels)
        robust = int((case.pixels(adversarial).argmax(1) == case.labels).sum())
    verdicts = case.verdicts({"name": "square", "epsilon": "4/255", "queries": queries})

    assert abs(verdicts.count(Outcome.ROBUST) - robust) <= 2
    assert 0 < robust < len(case.images)
    np.testing.assert_array_less(verdicts.perturbation, 4 / 255 + 1e-6)
