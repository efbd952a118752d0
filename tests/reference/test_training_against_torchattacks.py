"""The searches of adversarial training against torchattacks: the same start, the same images."""

import importlib.util
import warnings

import pytest
import torch
from torch import nn

from repaudit.train.objectives._attack import AttackOptions, against_answer, against_labels, nearby_start
from repaudit.train.targets import Labelling, one_hot
from repaudit.train.trainee import Normalised, Trainee

EPSILON, SIZE, STEPS = 8 / 255, 2 / 255, 10
OPTIONS = AttackOptions(epsilon=EPSILON, step_size=SIZE, steps=STEPS)


@pytest.fixture(scope="module")
def torchattacks():
    if importlib.util.find_spec("torchattacks") is None:
        pytest.skip("torchattacks is not installed")
    with warnings.catch_warnings():
        # its old `requests` complains of the versions of its own dependencies
        warnings.simplefilter("ignore")
        import torchattacks

    return torchattacks


@pytest.fixture
def problem():
    """A network in evaluation mode, images and labels."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Normalised(
            nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 7)
            ),
            [0.4] * 3,
            [0.3] * 3,
        ).eval()
        return network, torch.rand(12, 3, 8, 8), torch.randint(5, (12,))


def trainee(network):
    return Trainee(network, Labelling(classes=5, virtual=2), dtype=torch.float32)


def test_the_search_of_trades_is_theirs(torchattacks, problem, monkeypatch):
    network, images, _ = problem
    keys = torch.arange(12)
    start = nearby_start(images, keys)
    noise = (start - images) / 0.001
    attack = torchattacks.TPGD(network, eps=EPSILON, alpha=SIZE, steps=STEPS)
    attack.set_device("cpu")
    with monkeypatch.context() as patched:
        patched.setattr(torch, "randn_like", lambda _: noise)
        theirs = attack(images)

    ours = against_answer(trainee(network), images, start, OPTIONS)

    # where a gradient is next to nothing, rounding decides its sign
    assert (ours - theirs).abs().gt(1e-6).float().mean() < 0.002


def test_the_search_on_labels_is_theirs(torchattacks, problem):
    network, images, labels = problem
    attack = torchattacks.PGD(network, eps=EPSILON, alpha=SIZE, steps=STEPS, random_start=False)
    attack.set_device("cpu")
    theirs = attack(images, labels)

    ours = against_labels(trainee(network), images, one_hot(labels, 7), images, OPTIONS)

    assert (ours - theirs).abs().gt(1e-6).float().mean() < 0.002
