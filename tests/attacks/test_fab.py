"""FAB against what is known exactly: linear models, its own bookkeeping, and rows that never see each other."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import Rows, resolve
from repaudit.attacks.fab import FabOptions, FastAdaptiveBoundary
from repaudit.attacks.threat import Norm, Threat
from repaudit.attacks.verdict import CODES, Outcome

BROKEN = CODES[Outcome.BROKEN]
SIDE = 6
SIZE = 3 * SIDE * SIDE
NORMS = list(Norm)


@pytest.fixture
def linear(make_classifier):
    generator = torch.Generator().manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 2))
    network[1].weight.data = torch.randn(2, SIZE, generator=generator) / 10
    network[1].bias.data.zero_()
    return make_classifier(network, mean=0.5, std=0.5)


def shortest(norm, images, slope, margin):
    """Length of the shortest move within [0, 1] that takes each margin to 0, by bisection in float64."""
    lengths = []
    for image, gap in zip(images, margin, strict=True):
        against = -np.sign(slope) * np.sign(gap)
        room = np.where(against > 0, 1 - image, image)
        share = np.ones_like(slope) if norm is Norm.LINF else np.abs(slope)
        low, high = 0.0, 1e3
        for _ in range(100):
            middle = (low + high) / 2
            enough = (np.abs(slope) * np.minimum(middle * share, room)).sum() >= abs(gap)
            low, high = (low, middle) if enough else (middle, high)
        move = np.minimum(high * share, room)[slope != 0]
        lengths.append(np.abs(move).max() if norm is Norm.LINF else np.linalg.norm(move))
    return np.array(lengths)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("darkest", [100, 0])
def test_the_smallest_perturbation_of_a_linear_model_is_found_to_a_hundredth_and_none_below_it(
    linear, make_images, run, norm, darkest
):
    generator = torch.Generator().manual_seed(3)
    stored = torch.randint(darkest, 156, (120, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    if darkest == 0:
        stored[::2] //= 16  # so dark that the faces of the box are in the way
    with torch.no_grad():
        labels = linear.logits(stored.float() / 255).argmax(1)
    slope = ((linear.network[-1].weight[0] - linear.network[-1].weight[1]).double() / 0.5).detach().numpy()
    pixels = stored.flatten(1).double().numpy() / 255
    exact = shortest(norm, pixels, slope, (pixels - 0.5) @ slope)
    images = make_images(stored, labels.numpy())
    unbounded = np.abs((pixels - 0.5) @ slope) / (np.abs(slope).sum() if norm is Norm.LINF else np.linalg.norm(slope))
    assert ((exact / unbounded > 1.02).sum() > 15) == (darkest == 0)

    for quantile in (0.2, 0.5, 0.8):
        epsilon = float(np.quantile(exact, quantile))
        evaluation = run(linear, images, {"name": "fab_t", "norm": norm, "epsilon": epsilon, "steps": 12})
        sure = np.abs(exact / epsilon - 1) > 0.01
        np.testing.assert_array_equal((evaluation.outcome == BROKEN)[sure], (exact < epsilon)[sure])
        assert (
            evaluation.perturbation[evaluation.outcome == BROKEN] > 0.999 * exact[evaluation.outcome == BROKEN]
        ).all()


@pytest.mark.parametrize(("classes", "note"), [(2, "1 target in place of 9"), (3, "2 targets"), (4, "3 targets")])
def test_fewer_classes_have_fewer_targets_and_the_report_says_so(classes, note):
    attack = resolve("fab_t").members()[0].attack
    logits = np.random.default_rng(0).normal(size=(7, classes))
    targets = attack.targets(logits, logits.argmax(1))

    assert targets.shape == (7, classes - 1)
    assert (targets != logits.argmax(1)[:, None]).all()
    assert note in attack.notes(classes)[0]
    assert f"there are {classes} classes" in attack.notes(classes)[0]
    assert attack.notes(10) == ()


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_few_classes_grey_images_and_sides_that_differ_are_no_obstacle(
    classes, norm, make_classifier, predicted_images, run
):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, classes))
    classifier = make_classifier(network, channels=1)
    images = predicted_images(classifier, 12, size=8)
    evaluation = run(classifier, images, {"name": "fab_t", "norm": norm, "epsilon": 0.4, "steps": 20})

    assert evaluation.count(Outcome.BROKEN) > 0
    assert len(evaluation.notes) == 1


def jobs(count, seed=0, shape=(3, 5, 7)):
    random = torch.Generator().manual_seed(seed)
    number = torch.arange(count)
    return Rows(
        index=(number * 5) % 37,
        clean=torch.rand(count, *shape, generator=random),
        labels=number % 4,
        targets=(number + 1) % 4,
        iteration=torch.zeros(count, dtype=torch.int64),
        keys=number * 1_000_003,
    )


class Smooth(nn.Module):
    """Logits that depend on the row alone, bit for bit: products and sums within the row."""

    def __init__(self, size):
        super().__init__()
        self.weight = torch.randn(4, size, generator=torch.Generator().manual_seed(5))

    def forward(self, x):
        flat = x.flatten(1)
        return torch.stack([(torch.sin(3 * flat) * row).sum(1) for row in self.weight], dim=1)


def search(attack, rows, rounds, wants=None, layout=torch.contiguous_format):
    """All queries of some rows, judging nothing; (rounds, r, …), and for each whether it asked for a gradient."""
    attack.allocate(37, rows.clean[0])
    attack.begin(rows)
    network, index = Smooth(rows.clean[0].numel()), rows.index.numpy()
    queries, wanted = [], []
    for _ in range(rounds):
        asks = (wants or attack.wants_gradient)(index, rows.iteration.numpy())
        query = attack.propose(rows).requires_grad_()
        logits = network(query)
        objective = attack.objective(rows, logits)
        (slope,) = torch.autograd.grad(objective.sum(), query)
        slope = slope.contiguous(memory_format=layout)
        done = attack.finished(index, rows.iteration.numpy())
        for asking in (True, False):
            at = torch.from_numpy(np.flatnonzero((asks == asking) & ~done))
            if len(at):
                told = (objective.detach()[at], slope[at]) if asking else (None, None)
                attack.update(rows.select(at), logits.detach()[at], *told)
        queries.append(query.detach().clone())
        wanted.append(asks)
    return torch.stack(queries), np.stack(wanted)


def fab(norm, steps=40):
    return FastAdaptiveBoundary(Threat(norm, 0.1), FabOptions(steps=steps))


@pytest.mark.parametrize("norm", NORMS)
def test_a_row_is_searched_the_same_beside_any_others_bit_for_bit(norm):
    rows = jobs(24)
    together, _ = search(fab(norm), rows, 40)

    for some in ([3], [7, 1], [20, 3, 11, 5, 0]):
        alone, _ = search(fab(norm), rows.select(torch.tensor(some)), 40)
        assert torch.equal(alone, together[:, some])


@pytest.mark.parametrize("norm", NORMS)
def test_the_layout_of_gradients_in_memory_does_not_matter(norm):
    plain, _ = search(fab(norm), jobs(6), 20)
    other, _ = search(fab(norm), jobs(6), 20, layout=torch.channels_last)

    assert torch.equal(plain, other)


def distinct(queries):
    """Queries of one row without immediate repetitions."""
    kept = [queries[0]]
    for query in queries[1:]:
        if not torch.equal(query, kept[-1]):
            kept.append(query)
    return torch.stack(kept)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("guess", [True, False])
def test_guesses_about_the_boundary_change_the_cost_and_never_a_query(norm, guess):
    rows = jobs(12)
    adaptive, fixed = fab(norm), fab(norm)
    ours, wanted = search(adaptive, rows, 90)

    def always_so(index, iteration):
        return (fixed._settled[index] | guess) & ~fixed.finished(index, iteration)

    theirs, _ = search(fixed, rows, 90, wants=always_so)
    for row in range(len(rows)):
        assert torch.equal(distinct(ours[:, row]), distinct(theirs[:, row]))
    assert 0.3 < wanted.mean() < 0.75


@pytest.mark.parametrize("norm", NORMS)
def test_a_job_ends_when_the_point_after_its_last_step_was_asked(norm):
    rows, steps = jobs(12), 9
    attack = fab(norm, steps)
    queries, _ = search(attack, rows, 2 * steps)
    index = rows.index.numpy()

    assert attack.finished(index, np.zeros(12)).all()
    assert not attack.wants_gradient(index, np.zeros(12)).any()
    assert attack.steps + 1 == len(queries)
    longer, _ = search(fab(norm, steps + 5), rows, 2 * steps)
    for row in range(len(rows)):
        ended = distinct(queries[:, row])
        assert torch.equal(distinct(longer[:, row])[: len(ended)], ended)


@pytest.mark.parametrize("norm", NORMS)
def test_without_a_slope_the_search_stays_at_the_image(norm):
    rows = jobs(3)
    attack = fab(norm)
    attack.allocate(37, rows.clean[0])
    attack.begin(rows)
    logits = nn.functional.one_hot(rows.labels, 4).float()
    for _ in range(5):
        attack.propose(rows)
        attack.update(rows, logits, attack.objective(rows, logits), torch.zeros_like(rows.clean))

    torch.testing.assert_close(attack.propose(rows), rows.clean)
