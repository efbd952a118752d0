"""Targeted FAB against its authors' code: the same projections, the same iterates, the same verdicts."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import Rows, fab
from repaudit.attacks._box_projection import Slopes, displacements
from repaudit.attacks.objectives import targets_by_logit
from repaudit.attacks.threat import Norm, Threat
from repaudit.attacks.verdict import CODES, Outcome

if importlib.util.find_spec("pyautoattack") is None:
    pytest.skip("pyautoattack is not installed", allow_module_level=True)

from pyautoattack.fab_projections import projection_l2, projection_linf
from pyautoattack.fab_pt import FABAttack_PT

BROKEN = CODES[Outcome.BROKEN]
NORMS = list(Norm)
THEIRS = {Norm.LINF: "Linf", Norm.L2: "L2"}
PROJECTIONS = {Norm.LINF: projection_linf, Norm.L2: projection_l2}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("reach", [0.01, 0.1, 3.0])  # near .3 the box is just exhausted, where theirs errs by 1e-4
def test_projections_equal_theirs(norm, reach):
    generator = torch.Generator().manual_seed(8)
    points = torch.rand(2, 150, 400, generator=generator)
    points[:, ::2] = points[:, ::2].mul(1.6).sub(0.3).clamp(0, 1)  # some on the faces of the box
    slope = torch.randn(150, 400, generator=generator)
    slope[::3] *= torch.rand(50, 400, generator=generator) < 0.7
    slope[4] = 0
    height = reach * torch.randn(2, 150, generator=generator) * slope.abs().sum(1)
    height[:, ::9] = 0
    offset = (points * slope).sum(2) - height
    theirs = PROJECTIONS[norm](points.flatten(0, 1), slope.repeat(2, 1), offset.flatten()).reshape(points.shape)
    # their offset takes the height from a difference of large sums; ours is given that same difference
    ours = displacements(Slopes.of(slope, norm), points, (points * slope).sum(2) - offset)

    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


class Doubled(nn.Module):
    """Smooth and computed in float64, so that iterates stay together for long; keeps what it is asked."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(12)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 64, 6)
            ).double()
        self.asked = []

    def forward(self, x):
        self.asked.append(x.detach().clone())
        return self.layers(4 * x.double() - 2).float()


def theirs_by_row(network, images, labels, norm, rank, steps):
    """The points of each row of their search towards the class of a rank, without repetitions."""
    attack = FABAttack_PT(network, norm=THEIRS[norm], eps=0.1, n_iter=steps, targeted=True)
    attack.target_class = rank
    network.asked.clear()
    attack.attack_single_run(images, labels, is_targeted=True)
    # first the label and the target, then one gradient and one label a step
    return [distinct([asked[row] for asked in network.asked[2:]]) for row in range(len(images))]


def ours_by_row(network, rows, norm, steps):
    """The points of each row of our search; every row until its job is done."""
    attack = fab.FastAdaptiveBoundary(Threat(norm, 0.1), fab.FabOptions(steps=steps))
    attack.allocate(len(rows), rows.clean[0])
    attack.begin(rows)
    index, queries = rows.index.numpy(), [[] for _ in range(len(rows))]
    left = np.ones(len(rows), dtype=bool)
    while left.any():
        wants = attack.wants_gradient(index, index)
        query = attack.propose(rows).requires_grad_()
        for row in np.flatnonzero(left):
            queries[row].append(query[row].detach().clone())
        left &= ~attack.finished(index, index)
        logits = network(query)
        objective = attack.objective(rows, logits)
        (slope,) = torch.autograd.grad(objective.sum(), query)
        for asking in (True, False):
            at = torch.from_numpy(np.flatnonzero((wants == asking) & left))
            if len(at):
                told = (objective.detach()[at], slope[at]) if asking else (None, None)
                attack.update(rows.select(at), logits.detach()[at], *told)
    return [distinct(points) for points in queries]


def distinct(points):
    kept = [points[0]]
    for point in points[1:]:
        if not torch.equal(point, kept[-1]):
            kept.append(point)
    return torch.stack(kept)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rank", [2, 4])
def test_thirty_steps_visit_the_points_that_theirs_visit(norm, rank):
    network, steps = Doubled(), 30
    images = torch.rand(10, 3, 12, 12, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        logits = network(images)
    labels = logits.argmax(1)
    targets = targets_by_logit(logits.numpy(), labels.numpy(), 5)[:, rank - 2]
    number = torch.arange(len(images))
    rows = Rows(number, images, labels, torch.from_numpy(targets), torch.zeros_like(number), number)
    theirs = theirs_by_row(network, images, labels, norm, rank, steps)
    ours = ours_by_row(network, rows, norm, steps)

    for mine, yours in zip(ours, theirs, strict=True):
        assert len(mine) == len(yours) > steps
        torch.testing.assert_close(mine, yours, atol=1e-4, rtol=0)


CASES = [
    ("small", Norm.LINF, 4 / 255, 30),
    ("small", Norm.L2, 0.2, 30),
    pytest.param("resnet2b", Norm.LINF, 4 / 255, 30, marks=pytest.mark.slow),
    pytest.param("resnet2b", Norm.L2, 0.5, 30, marks=pytest.mark.slow),
    pytest.param("resnet20", Norm.LINF, 1 / 255, 12, marks=pytest.mark.slow),
    pytest.param("resnet20", Norm.L2, 0.1, 12, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "norm", "epsilon", "count"), CASES)
def test_verdicts_equal_theirs_but_for_queries_that_they_do_not_judge(problem, name, norm, epsilon, count):
    case = problem(name, count)
    with torch.no_grad():
        classes = case.pixels(case.images[:1]).shape[1]
    attack = FABAttack_PT(
        case.pixels, norm=THEIRS[norm], eps=epsilon, targeted=True, n_target_classes=min(9, classes - 1)
    )
    with torch.random.fork_rng():
        adversarial = attack.perturb(case.images, case.labels)
    with torch.no_grad():
        theirs = (case.pixels(adversarial).argmax(1) != case.labels).numpy()
    verdicts = case.verdicts({"name": "fab_t", "norm": norm, "epsilon": epsilon})
    ours = verdicts.outcome == BROKEN

    assert not (theirs & ~ours & ~verdicts.marginal).any()
    # a point pulled back may lie within the ball and be misclassified: a success that they pass over
    assert (ours & ~theirs & ~verdicts.marginal).sum() <= 1
    assert 0 < ours.sum() < len(ours)
