"""FGSM and PGD against torchattacks: the same start, the same verdict on every image."""

import importlib.util
import warnings

import numpy as np
import pytest
import torch

from repaudit.attacks import pgd
from repaudit.attacks.verdict import CODES, Outcome

BROKEN = CODES[Outcome.BROKEN]
NETWORKS = ["small", "cnn_a_mix", "resnet2b", "resnet20"]


@pytest.fixture(scope="module")
def torchattacks():
    if importlib.util.find_spec("torchattacks") is None:
        pytest.skip("torchattacks is not installed")
    with warnings.catch_warnings():
        # its old `requests` complains of the versions of its own dependencies
        warnings.simplefilter("ignore")
        import torchattacks

    return torchattacks


def theirs(attack, case):
    attack.set_device("cpu")
    adversarial = attack(case.images, case.labels)
    with torch.no_grad():
        return (case.pixels(adversarial).argmax(1) != case.labels).numpy()


def agree(verdicts, success, steps):
    """Equal but for marginal images, and for those that were broken on the way and recovered."""
    ours, sure = verdicts.outcome == BROKEN, ~verdicts.marginal
    assert not (success & ~ours & sure).any()
    recovered = ours & ~success & sure
    assert (verdicts.iteration[recovered] < steps).all()
    assert recovered.sum() <= 2
    assert sure.mean() > 0.95


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255])
def test_fgsm_breaks_what_torchattacks_breaks(torchattacks, problem, name, epsilon):
    case = problem(name)

    agree(
        case.verdicts({"name": "fgsm", "epsilon": epsilon}),
        theirs(torchattacks.FGSM(case.pixels, eps=epsilon), case),
        1,
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_pgd_from_the_clean_image_breaks_what_torchattacks_breaks(torchattacks, problem, name):
    case = problem(name)
    attack = torchattacks.PGD(case.pixels, eps=1 / 255, alpha=0.3 / 255, steps=6, random_start=False)
    raw = {"name": "pgd", "epsilon": "1/255", "steps": 6, "step_size": "0.3/255", "start": "clean"}

    agree(case.verdicts(raw), theirs(attack, case), 6)


@pytest.mark.parametrize("name", NETWORKS)
def test_euclidean_pgd_from_the_clean_image_breaks_what_torchattacks_breaks(torchattacks, problem, name):
    case = problem(name)
    attack = torchattacks.PGDL2(case.pixels, eps=0.15, alpha=0.05, steps=6, random_start=False)
    raw = {"name": "pgd", "norm": "l2", "epsilon": 0.15, "steps": 6, "step_size": 0.05, "start": "clean"}

    agree(case.verdicts(raw), theirs(attack, case), 6)


@pytest.mark.parametrize("name", NETWORKS)
def test_pgd_from_their_random_start_breaks_what_torchattacks_breaks(torchattacks, problem, name, monkeypatch):
    case = problem(name)
    epsilon = 1 / 255
    attack = torchattacks.PGD(case.pixels, eps=epsilon, alpha=0.3 / 255, steps=6, random_start=True)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        success = theirs(attack, case)
        torch.manual_seed(11)
        noise = torch.empty_like(case.images).uniform_(-epsilon, epsilon)

    class FromTheirStart(pgd.ProjectedGradient):
        def begin(self, rows):
            same = (rows.clean[:, None] == case.images[None]).flatten(2).all(2)
            start = rows.clean + noise[same.float().argmax(1)]
            self._iterate[rows.index] = start.clamp(0, 1)

    monkeypatch.setattr(
        pgd, "attack", pgd.Method(summary="", options=pgd.PgdOptions, build=FromTheirStart, presets=pgd.attack.presets)
    )
    raw = {"name": "pgd", "epsilon": epsilon, "steps": 6, "step_size": "0.3/255"}

    agree(case.verdicts(raw), success, 6)


def test_the_comparison_covers_broken_and_robust_images(problem):
    outcomes = problem("small").verdicts({"name": "fgsm", "epsilon": "8/255"}).outcome

    assert np.unique(outcomes).tolist() == [CODES[Outcome.ROBUST], BROKEN]
