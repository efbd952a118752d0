"""FGSM and PGD against foolbox: the same start, the same verdict on every image."""

import importlib.util
import warnings

import numpy as np
import pytest
import torch

from repaudit.attacks import resolve
from repaudit.attacks.noise import job_key, step_keys, uniform_in_ball
from repaudit.attacks.verdict import CODES, Outcome

BROKEN = CODES[Outcome.BROKEN]
NETWORKS = ["small", "cnn_a_mix", "resnet2b", "resnet20"]


@pytest.fixture(scope="module")
def foolbox():
    if importlib.util.find_spec("foolbox") is None:
        pytest.skip("foolbox is not installed")
    with warnings.catch_warnings():
        # foolbox imports names that scipy has moved
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        import foolbox

    return foolbox


def theirs(foolbox, attack, problem, epsilon):
    model = foolbox.PyTorchModel(problem.pixels, bounds=(0, 1), device="cpu")
    _, clipped, success = attack(model, problem.images, problem.labels, epsilons=epsilon)
    return success.numpy(), clipped


def agree(verdicts, success):
    """Equal but for images whose margin is within rounding of zero."""
    sure = ~verdicts.marginal
    np.testing.assert_array_equal((verdicts.outcome == BROKEN)[sure], success[sure])
    assert sure.mean() > 0.95


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255])
def test_fgsm_breaks_what_foolbox_breaks(foolbox, problem, name, epsilon):
    case = problem(name)
    success, _ = theirs(foolbox, foolbox.attacks.LinfFastGradientAttack(random_start=False), case, epsilon)

    agree(case.verdicts({"name": "fgsm", "epsilon": epsilon}), success)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_euclidean_gradient_step_breaks_what_foolbox_breaks(foolbox, problem, name):
    case = problem(name)
    success, _ = theirs(foolbox, foolbox.attacks.L2FastGradientAttack(random_start=False), case, 0.5)

    agree(case.verdicts({"name": "fgsm", "norm": "l2", "epsilon": 0.5}), success)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_from_the_clean_image_breaks_what_foolbox_breaks(foolbox, problem, name, norm):
    case, steps = problem(name), 5
    epsilon = 1 / 255 if norm == "linf" else 0.15
    step = epsilon / 3
    kind = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD
    success, _ = theirs(foolbox, kind(abs_stepsize=step, steps=steps, random_start=False), case, epsilon)
    raw = {"name": "pgd", "norm": norm, "epsilon": epsilon, "steps": steps, "step_size": step, "start": "clean"}

    verdicts = case.verdicts(raw)

    # foolbox keeps the last iterate; we count any, so ours may break more and never fewer
    ours = (verdicts.outcome == BROKEN) & ~verdicts.marginal
    assert not (success & ~ours & ~verdicts.marginal).any()
    last = verdicts.iteration[ours & ~success]
    assert (last < steps).all()
    assert len(last) <= 2


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_from_our_random_start_breaks_what_foolbox_breaks(foolbox, problem, name, norm):
    case, steps = problem(name), 5
    epsilon = 1 / 255 if norm == "linf" else 0.15
    step = epsilon / 3
    raw = {"name": "pgd", "norm": norm, "epsilon": epsilon, "steps": steps, "step_size": step}
    verdicts = case.verdicts(raw)
    threat = resolve(raw).threat
    keys = torch.tensor([job_key(0, name, "pgd", target=-1, restart=0) for name in verdicts.ids])
    kind = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD

    class FromOurStart(kind):
        def get_random_start(self, x0, epsilon):
            noise = uniform_in_ball(threat, step_keys(keys, 0), x0.raw.shape[1:])
            return type(x0)((x0.raw + noise).clamp(0, 1))

    success, _ = theirs(foolbox, FromOurStart(abs_stepsize=step, steps=steps, random_start=True), case, epsilon)

    ours = (verdicts.outcome == BROKEN) & ~verdicts.marginal
    assert not (success & ~ours & ~verdicts.marginal).any()
    assert (verdicts.iteration[ours & ~success] < steps).all()
    assert (ours & ~success).sum() <= 2
