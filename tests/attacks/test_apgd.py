"""Auto-PGD by itself: its schedule, its start, its rows, and what it must find on linear models."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import UNTARGETED, Rows, resolve
from repaudit.attacks.apgd import ApgdOptions, AutoPgd, rises_needed
from repaudit.attacks.noise import step_keys, uniforms
from repaudit.attacks.threat import Norm, Threat
from repaudit.attacks.verdict import CODES, Outcome

BROKEN = CODES[Outcome.BROKEN]
PRESETS = ["apgd_ce", "apgd_dlr", "apgd_t"]
NEAR = 0.01
"""Relative distance from the boundary within which float32 may decide either way."""


def test_checkpoints_lie_where_the_paper_puts_them():
    needed = rises_needed(100, 0.75)
    checkpoints = [query for query, rises in enumerate(needed) if rises >= 0]

    assert checkpoints == [22, 41, 57, 70, 80, 87, 93, 99]
    assert [needed[query] for query in checkpoints] == [0.75 * k for k in (22, 19, 16, 13, 10, 7, 6, 6)]


@pytest.mark.parametrize("steps", [1, 2, 5, 16])
def test_short_searches_have_checkpoints_at_least_one_query_apart(steps):
    needed = rises_needed(steps, 0.75)

    assert len(needed) == steps + 1
    assert needed[0] == -1
    assert max(needed) > 0


@pytest.fixture
def jobs():
    """Rows of a pool, each with its own image, key and age; `chosen` of them."""

    def make(chosen=None, *, capacity=40, shape=(3, 5, 7), iteration=0):
        generator = torch.Generator().manual_seed(8)
        rows = Rows(
            torch.randperm(capacity, generator=generator),
            torch.rand(capacity, *shape, generator=generator),
            torch.zeros(capacity, dtype=torch.int64),
            torch.full((capacity,), UNTARGETED),
            torch.full((capacity,), iteration),
            torch.randint(2**62, (capacity,), generator=generator),
        )
        return rows if chosen is None else rows.select(torch.tensor(chosen))

    return make


def landscape(query, gentle=True):
    """An objective with many hills and its gradient, value by value: no kernel that could see two rows at once."""
    steep = 3.0 if gentle else 40.0
    objective = torch.sin(steep * query.flatten(1)[:, 0]) + query.flatten(1)[:, 1]
    return objective, torch.cos(steep * query) * 0.3


def walk(attack, rows):
    """All queries of one job a row, (101, r, c, h, w)."""
    attack.begin(rows)
    queries = []
    for iteration in range(attack.steps + 1):
        now = Rows(rows.index, rows.clean, rows.labels, rows.targets, torch.full_like(rows.index, iteration), rows.keys)
        queries.append(attack.propose(now))
        if iteration < attack.steps:
            attack.update(now, torch.empty(0), *landscape(queries[-1], gentle=False))
    return torch.stack(queries)


def allocated(norm, like, capacity=40, **options):
    attack = AutoPgd(Threat(norm, 0.1 if norm is Norm.LINF else 0.7), ApgdOptions(**options))
    attack.allocate(capacity, like)
    return attack


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_row_goes_the_same_way_bit_for_bit_beside_any_others(jobs, norm, layout):
    together = jobs()
    among = walk(allocated(norm, together.clean[0]), together)

    for chosen in ([11], [30, 2, 11, 7, 8]):
        few = jobs(chosen)
        few = Rows(few.index, few.clean.contiguous(memory_format=layout), *_rest(few))
        alone = walk(allocated(norm, few.clean[0]), few)
        assert torch.equal(alone, among[:, chosen])


def _rest(rows):
    return rows.labels, rows.targets, rows.iteration, rows.keys


@pytest.mark.parametrize("norm", list(Norm))
def test_rows_at_different_iterations_go_their_own_ways(jobs, norm):
    every = jobs()
    expected = walk(allocated(norm, every.clean[0], steps=30), every)
    attack = allocated(norm, every.clean[0], steps=30)
    late = torch.arange(40) % 7
    attack.begin(every)

    for clock in range(37):
        here = ((clock >= late) & (clock - late <= 30)).nonzero().squeeze(1)
        rows = every.select(here)
        age = clock - late[here]
        rows = Rows(rows.index, rows.clean, rows.labels, rows.targets, age, rows.keys)
        query = attack.propose(rows)
        assert torch.equal(query, expected[age, here])
        attack.update(rows, torch.empty(0), *landscape(query, gentle=False))


@pytest.mark.parametrize("norm", list(Norm))
def test_a_job_that_enters_a_used_row_finds_nothing_of_the_last_one(jobs, norm):
    rows = jobs()
    attack = allocated(norm, rows.clean[0])
    first = walk(attack, rows)

    assert torch.equal(walk(attack, rows), first)


@pytest.mark.parametrize("norm", list(Norm))
def test_every_query_lies_within_the_threat_and_the_pixels(jobs, norm):
    rows = jobs()
    attack = allocated(norm, rows.clean[0])
    queries = walk(attack, rows)

    for query in queries:
        assert attack.threat.contains(attack.threat.size(query - rows.clean)).all()
        assert ((query >= 0) & (query <= 1)).all()


@pytest.mark.parametrize("norm", list(Norm))
def test_a_search_starts_on_the_sphere(jobs, norm):
    rows = jobs(shape=(1, 9, 4))
    rows = Rows(rows.index, torch.full_like(rows.clean, 0.5), *_rest(rows))
    attack = AutoPgd(Threat(norm, 0.25), ApgdOptions())
    attack.allocate(40, rows.clean[0])
    attack.begin(rows)
    start = attack.propose(rows) - rows.clean

    np.testing.assert_allclose(attack.threat.size(start), 0.25, rtol=1e-6)
    if norm is Norm.LINF:
        drawn = 2 * uniforms(step_keys(rows.keys, 0), 36) - 1
        expected = 0.25 * drawn / drawn.abs().amax(1, keepdim=True)
        torch.testing.assert_close(start.flatten(1), expected, atol=1e-6, rtol=0)
    else:
        assert start.mean().abs() < 0.01
        assert (start > 0).float().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("norm", list(Norm))
def test_where_nothing_slopes_the_search_stays_at_its_start(jobs, norm):
    rows = jobs()
    attack = allocated(norm, rows.clean[0], steps=30)
    attack.begin(rows)
    start = attack.propose(rows)
    for iteration in range(30):
        now = Rows(rows.index, rows.clean, rows.labels, rows.targets, torch.full((40,), iteration), rows.keys)
        attack.update(now, torch.empty(0), torch.zeros(40), torch.zeros_like(rows.clean))

    torch.testing.assert_close(attack.propose(now), start, atol=1e-6, rtol=0)


def linear_network(classes, shape, seed=2):
    """Classes, a linear score of every pixel, and images far enough from 0 and 1 for clipping not to matter."""
    generator = torch.Generator().manual_seed(seed)
    size = int(np.prod(shape))
    network = nn.Sequential(nn.Flatten(), nn.Linear(size, classes))
    network[1].weight.data = torch.randn(classes, size, generator=generator) / 10
    network[1].bias.data.zero_()
    return network, torch.randint(100, 156, (24, *shape), generator=generator, dtype=torch.uint8)


def distances(classifier, stored, labels, norm):
    """Exact distance of each image to the nearest other class: margin / dual norm of the margin's gradient."""
    weight = classifier.network[-1].weight.double()
    logits = (stored.flatten(1).double() / 255 - 0.5) @ weight.T / 0.5
    slope = (weight[None] - weight[labels][:, None]) / 0.5
    length = slope.abs().sum(2) if norm is Norm.LINF else slope.norm(dim=2)
    lead = logits.gather(1, labels[:, None]) - logits
    return torch.where(lead > 0, lead / length, torch.inf).amin(1).numpy()


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize(
    ("preset", "classes"), [("apgd_ce", 2), ("apgd_dlr", 2), ("apgd_t", 2), ("apgd_t", 3), ("apgd_t", 4)]
)
def test_a_linear_model_is_broken_exactly_beyond_margin_over_dual_norm(
    make_classifier, make_images, run, preset, classes, norm
):
    shape = (3, 5, 6) if classes % 2 else (1, 9, 4)
    network, stored = linear_network(classes, shape)
    classifier = make_classifier(network, channels=shape[0], mean=0.5, std=0.5)
    with torch.no_grad():
        labels = classifier.logits(stored.float() / 255).argmax(1)
    exact = distances(classifier, stored, labels, norm)
    epsilon = float(np.median(exact))
    images = make_images(stored.contiguous(memory_format=torch.channels_last), labels.numpy())

    outcome = run(classifier, images, {"name": preset, "norm": norm, "epsilon": epsilon}).outcome

    sure = np.abs(exact / epsilon - 1) > NEAR
    np.testing.assert_array_equal((outcome == BROKEN)[sure], (exact < epsilon)[sure])
    assert sure.sum() > 20


@pytest.mark.parametrize("preset", ["apgd_ce", "apgd_dlr"])
@pytest.mark.parametrize("classes", [3, 4])
def test_no_image_of_a_linear_model_is_broken_nearer_than_its_distance(
    make_classifier, make_images, run, preset, classes
):
    network, stored = linear_network(classes, (3, 5, 6))
    classifier = make_classifier(network, mean=0.5, std=0.5)
    with torch.no_grad():
        labels = classifier.logits(stored.float() / 255).argmax(1)
    exact = distances(classifier, stored, labels, Norm.LINF)
    epsilon = float(np.median(exact))

    broken = (
        run(classifier, make_images(stored, labels.numpy()), {"name": preset, "epsilon": epsilon}).outcome == BROKEN
    )

    assert not broken[exact > (1 + NEAR) * epsilon].any()
    assert broken.any()


@pytest.mark.parametrize(
    ("preset", "classes", "notes"),
    [
        ("apgd_ce", 2, ()),
        ("apgd_dlr", 2, ("margin loss in place of DLR, which needs 3 classes",)),
        ("apgd_dlr", 3, ()),
        ("apgd_t", 10, ()),
        ("apgd_t", 9, ("8 targets in place of 9: there are 9 classes",)),
        (
            "apgd_t",
            2,
            (
                "targeted margin loss in place of targeted DLR, which needs 4 classes",
                "1 target in place of 9: there are 2 classes",
            ),
        ),
    ],
)
def test_what_few_classes_change_is_said(preset, classes, notes):
    (member,) = resolve(preset).members()

    assert member.attack.notes(classes) == notes


def test_the_presets_are_the_published_protocol():
    for preset, objective in zip(PRESETS, ["ce", "dlr", "targeted_dlr"], strict=True):
        setting = resolve(preset)
        options = {"steps": 100, "restarts": 1, "target_count": 9, "rho": 0.75, "samples": 1, "objective": objective}
        assert setting.options.model_dump() == options
        assert setting.threat == Threat(Norm.LINF, 8 / 255)


def test_samples_and_restarts_reach_the_harness():
    (member,) = resolve({"name": "apgd_ce", "samples": 20, "restarts": 3}).members()

    assert (member.attack.samples, member.attack.restarts) == (20, 3)


def test_only_targeted_searches_have_targets():
    logits, labels = np.array([[3.0, 1.0, 2.0, 0.0]]), np.array([0])
    by_preset = {preset: resolve(preset).members()[0].attack.targets(logits, labels).tolist() for preset in PRESETS}

    assert by_preset == {"apgd_ce": [[UNTARGETED]], "apgd_dlr": [[UNTARGETED]], "apgd_t": [[2, 1, 3]]}


def test_a_first_objective_that_is_no_number_leaves_nothing_of_the_job_before(jobs):
    """Differences of finite logits can overflow; the search then returns to its start, not to another job's best."""
    rows = jobs()
    used, fresh = (allocated(Norm.LINF, rows.clean[0], steps=30) for _ in range(2))
    walk(used, rows)

    for attack in (used, fresh):
        attack.begin(rows)
        for iteration in range(30):
            now = Rows(rows.index, rows.clean, rows.labels, rows.targets, torch.full((40,), iteration), rows.keys)
            _, gradient = landscape(attack.propose(now))
            attack.update(now, torch.empty(0), torch.full((40,), torch.nan), gradient)

    assert torch.equal(used.propose(now), fresh.propose(now))
