"""Square against the rules of its paper, read off its queries: where windows lie, how large they are, what stays."""

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import Rows, _square_search, resolve
from repaudit.attacks._square_patterns import pattern, tile
from repaudit.attacks.threat import Norm
from repaudit.attacks.verdict import CODES, Outcome

BROKEN = CODES[Outcome.BROKEN]
NORMS = list(Norm)
CAPACITY = 41
EPSILON = 0.01
LAST_STEPS = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]
# √(.8 · 32² / 2ᵏ), k = 0 … 9, is 28.6, 20.2, 14.3, 10.1, 7.2, 5.1, 3.6, 2.5, 1.8 and 1.3
SIDES = {Norm.LINF: [29, 20, 14, 10, 7, 5, 4, 3, 2, 1], Norm.L2: [29, 21, 15, 11, 7, 5, 5, 3, 3, 3]}


def jobs(count, shape=(3, 32, 32), *, middle=True, iteration=0):
    """Rows of images; `middle` keeps them so far from 0 and 1 that nothing is clipped."""
    number = torch.arange(count)
    clean = torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))
    return Rows(
        index=(number * 7) % CAPACITY,
        clean=0.4 + clean / 5 if middle else clean,
        labels=number % 4,
        targets=number * 0 - 1,
        iteration=torch.full((count,), iteration),
        keys=number * 1_000_003 + 17,
    )


def at(rows, iteration):
    return Rows(rows.index, rows.clean, rows.labels, rows.targets, torch.full_like(rows.keys, iteration), rows.keys)


def begun(norm, rows, queries=10_000, epsilon=EPSILON):
    attack = resolve({"name": "square", "norm": norm, "epsilon": epsilon, "queries": queries}).members()[0].attack
    attack.allocate(CAPACITY, rows.clean[0])
    attack.begin(rows)
    return attack


def told(attack, rows, lead):
    """Answers in which the next class leads the label by so much, or trails it."""
    logits = torch.zeros(len(rows), 4)
    logits[torch.arange(len(rows)), (rows.labels + 1) % 4] = torch.as_tensor(lead, dtype=torch.float32)
    logits[torch.arange(len(rows)), (rows.labels + 2) % 4] = -1e4
    logits[torch.arange(len(rows)), (rows.labels + 3) % 4] = -1e4
    attack.update(rows, logits, None, None)


def extent(changed):
    """Rows and columns that the changed pixels of one image span, (c, h, w) bool."""
    down, across = changed.any(0).any(1).nonzero(), changed.any(0).any(0).nonzero()
    return int(down.max() - down.min()) + 1, int(across.max() - across.min()) + 1


@pytest.mark.parametrize(
    "step", [1, 11, 12, 51, 52, 201, 202, 501, 502, 1001, 1002, 2001, 2002, 4001, 4002, 6002, 8002]
)
def test_windows_shrink_at_the_published_steps(step):
    rows = at(jobs(20), 0)
    attack = begun(Norm.LINF, rows)
    start = attack.propose(rows)
    told(attack, rows, -1)
    query = attack.propose(at(rows, step))
    expected = SIDES[Norm.LINF][sum(step - 1 > last for last in LAST_STEPS)]

    changed = (query - start).abs() > EPSILON
    spans = [extent(row) for row in changed if row.any()]
    assert len(spans) > 5
    assert max(max(span) for span in spans) == expected
    # the values of a window are all at one end; what was there already did not change, so few may span less
    assert np.mean([span == (expected, expected) for span in spans]) > (0.5 if expected > 2 else 0)


@pytest.mark.parametrize("norm", NORMS)
def test_sides_are_those_of_the_published_schedule(norm):
    attack = begun(norm, jobs(1))
    sides = attack._sides.tolist()

    assert sides[0] == 0
    for level, (first, last) in enumerate(
        zip([0, *(last + 1 for last in LAST_STEPS)], [*LAST_STEPS, 9999], strict=True)
    ):
        assert sides[first + 1] == sides[last + 1] == SIDES[norm][level]


def test_the_start_is_made_of_stripes_at_the_ends_of_the_ball():
    rows = jobs(30)
    signs = (begun(Norm.LINF, rows).propose(rows) - rows.clean) / EPSILON

    torch.testing.assert_close(signs.abs(), torch.ones_like(signs), atol=1e-4, rtol=0)
    assert torch.equal(signs.sign(), signs.sign()[:, :, :1].expand_as(signs))
    stripes = signs.sign()[:, :, 0]
    assert 0.45 < (stripes > 0).float().mean() < 0.55
    assert len(stripes.flatten(1).unique(dim=0)) == 30


def test_every_value_lies_at_an_end_of_the_ball_and_a_window_has_one_sign_a_channel():
    rows = jobs(8)
    attack = begun(Norm.LINF, rows)
    best = attack.propose(rows)
    told(attack, rows, -100)
    for step in range(1, 60):
        now = at(rows, step)
        query = attack.propose(now)
        signs = ((query - rows.clean) / EPSILON).round()
        assert torch.equal(signs.abs(), torch.ones_like(signs))
        for changed, sign in zip((query - best).abs() > EPSILON, signs, strict=True):
            for channel in range(3):
                assert len(sign[channel][changed[channel]].unique()) <= 1
        told(attack, now, step - 100)  # always better
        best = query


@pytest.mark.parametrize("norm", NORMS)
def test_windows_reach_every_place_from_the_first_to_the_last_row_and_column_alike(norm):
    rows = jobs(CAPACITY, (1, 5, 7))
    attack = begun(norm, rows)
    side = attack._sides[400].item()
    change = [attack._changes(at(rows, step)) for step in range(300, 460)]

    corners = torch.cat([torch.cat([each.corner, each.emptied], dim=1) for each in change])
    for values, places in zip(corners.unbind(1), [5 - side + 1, 7 - side + 1] * 2, strict=True):
        counts = np.bincount(values.numpy(), minlength=places)
        expected = len(values) / places
        assert len(counts) == places
        assert ((counts - expected) ** 2 / expected).sum() < 25  # χ² of at most 6 degrees of freedom: p < .001
    signs = torch.cat([each.signs for each in change])
    assert abs(signs.mean()) < 0.05


@pytest.mark.parametrize("norm", NORMS)
def test_a_change_stays_exactly_if_the_lead_grows_or_is_not_negative(norm):
    rows = jobs(4)
    attack = begun(norm, rows)
    attack.propose(rows)
    told(attack, rows, [-2, -2, -2, -2])
    first = attack.propose(at(rows, 1))
    told(attack, at(rows, 1), [-1.0, -2.0, -3.0, 0.5])
    told_first = attack.propose(at(rows, 2))
    told(attack, at(rows, 2), [-1.5, -2.5, -2.5, 0.0])

    kept = kept_of(attack, rows)
    start = kept_of(begun(norm, rows), rows)
    torch.testing.assert_close(kept[0], first[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(kept[1:3], start[1:3], atol=1e-6, rtol=0)
    torch.testing.assert_close(kept[3], told_first[3], atol=1e-6, rtol=0)
    assert not torch.allclose(first[0], start[0], atol=1e-4)


def kept_of(attack, rows):
    """The best queries, as the start shows them: with no window changed."""
    return attack.propose(at(rows, 0))


def test_euclidean_queries_have_the_length_of_the_radius_before_they_are_clipped():
    rows = jobs(10)
    attack = begun(Norm.L2, rows, epsilon=0.5)
    for step in range(120):
        now = at(rows, step)
        length = (attack.propose(now) - rows.clean).double().flatten(1).norm(dim=1)
        torch.testing.assert_close(length, torch.full_like(length, 0.5), atol=2e-6, rtol=0)
        told(attack, now, (torch.arange(10) % 3 == step % 3).float() - 100 + step)


@pytest.mark.parametrize("norm", NORMS)
def test_clipped_queries_stay_in_the_ball(norm):
    rows = jobs(10, middle=False)
    attack = begun(norm, rows, epsilon=0.3)
    for step in range(60):
        now = at(rows, step)
        moved = attack.propose(now).clamp(0, 1) - rows.clean
        size = moved.abs().flatten(1).amax(1) if norm is Norm.LINF else moved.double().flatten(1).norm(dim=1)
        assert size.max() < 0.3 + 1e-6
        told(attack, now, float(step) - 100)


def test_a_euclidean_step_moves_length_between_two_windows_and_rescales_the_rest():
    rows = jobs(12)
    attack = begun(Norm.L2, rows, epsilon=0.5)
    start = attack.propose(rows) - rows.clean
    told(attack, rows, -1)
    now = at(rows, 700)
    change, side = attack._changes(now), 7
    moved = attack.propose(now) - rows.clean
    for row in range(12):
        inside = torch.zeros(32, 32, dtype=torch.bool)
        emptied = torch.zeros(32, 32, dtype=torch.bool)
        (top, left), (low, right) = change.corner[row].tolist(), change.emptied[row].tolist()
        inside[top : top + side, left : left + side] = True
        emptied[low : low + side, right : right + side] = True
        assert not moved[row][:, emptied & ~inside].any()
        rest = ~(inside | emptied)
        share = moved[row][:, rest] / start[row][:, rest]
        torch.testing.assert_close(
            share[share.isfinite()],
            share[share.isfinite()].mean().expand(int(share.isfinite().sum())),
            rtol=1e-3,
            atol=0,
        )
        # each channel of the window has the length that the channel had in both windows
        before = start[row][:, inside | emptied].double().norm(dim=1)
        after = moved[row][:, inside].double().norm(dim=1) / share[share.isfinite()].mean()
        torch.testing.assert_close(after, before, rtol=1e-3, atol=0)


@pytest.mark.parametrize("side", [1, 2, 3, 6, 7, 29])
def test_a_pattern_is_a_hill_beside_a_pit_of_unit_length_and_its_transpose(side):
    upright, turned = pattern(side)

    assert upright.norm() == pytest.approx(1, abs=1e-12)
    assert torch.equal(turned, upright.T)
    assert (upright[: side // 2] > 0).all()
    assert (upright[side // 2 :] < 0).all()
    if side > 3:
        assert upright.abs().argmax() // side not in (0, side - 1)


def test_tiles_fill_their_grid_row_by_row():
    signs = torch.tensor([[[1.0, -1, 1, 1, 1, -1]]])
    turned = torch.tensor([[0, 1, 0, 0, 0, 1]])
    canvas = tile(4, (2, 3), signs, turned)
    upright, across = pattern(4)

    assert canvas.shape == (1, 1, 8, 12)
    torch.testing.assert_close(canvas[0, 0, :4, 4:8], -across)
    torch.testing.assert_close(canvas[0, 0, 4:, 8:], -across)
    torch.testing.assert_close(canvas[0, 0, 4:, :4], upright)


def search(attack, rows, steps):
    """Queries of a search on a network whose answers depend on the row alone, bit for bit; (steps, r, …)."""
    weight = torch.randn(4, rows.clean[0].numel(), generator=torch.Generator().manual_seed(2))
    queries = []
    for step in steps:
        now = at(rows, step)
        query = attack.propose(now)
        logits = torch.stack([(torch.sin(9 * query.flatten(1)) * row).sum(1) for row in weight], dim=1)
        attack.update(now, logits, None, None)
        queries.append(query.clone())
    return torch.stack(queries)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 5, 9)])
def test_a_row_is_searched_the_same_beside_any_others_bit_for_bit(norm, shape):
    rows = jobs(24, shape, middle=False)
    together = search(begun(norm, rows), rows, range(80))

    for some in ([3], [7, 1], [20, 3, 11, 5, 0]):
        chosen = rows.select(torch.tensor(some))
        assert torch.equal(search(begun(norm, chosen), chosen, range(80)), together[:, some])
    assert (together[-1] != together[0]).flatten(1).any(1).all()


@pytest.mark.parametrize("norm", NORMS)
def test_rows_at_different_steps_do_not_disturb_each_other(norm):
    rows = jobs(6, (3, 16, 16))
    apart = search(begun(norm, rows), rows, range(70))
    attack = begun(norm, rows)
    late = rows.select(torch.arange(3))
    search(attack, late, range(45))
    for step in range(25):
        steps = torch.tensor([45 + step] * 3 + [step] * 3)
        mixed = Rows(rows.index, rows.clean, rows.labels, rows.targets, steps, rows.keys)
        query = attack.propose(mixed)
        assert torch.equal(query[:3], apart[45 + step][:3])
        assert torch.equal(query[3:], apart[step][3:])
        weight = torch.randn(4, rows.clean[0].numel(), generator=torch.Generator().manual_seed(2))
        logits = torch.stack([(torch.sin(9 * query.flatten(1)) * row).sum(1) for row in weight], dim=1)
        attack.update(mixed, logits, None, None)


@pytest.mark.parametrize("norm", NORMS)
def test_how_far_ahead_noise_is_drawn_does_not_matter(norm, monkeypatch):
    rows = jobs(5, (3, 16, 16))
    many = search(begun(norm, rows, queries=70), rows, range(71))
    monkeypatch.setattr(_square_search, "AHEAD", 1)
    one = search(begun(norm, rows, queries=70), rows, range(71))

    assert torch.equal(many, one)


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_nearer_than_the_boundary_of_a_linear_model_breaks_it_and_most_that_is_far_beyond_does(
    norm, make_classifier, make_images, run
):
    generator = torch.Generator().manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    network[1].weight.data = torch.randn(2, 3 * 64, generator=generator) / 10
    network[1].bias.data.zero_()
    classifier = make_classifier(network, mean=0.5, std=0.5)
    stored = torch.randint(100, 156, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    pixels = stored.flatten(1).double() / 255 - 0.5
    slope = (network[1].weight[0] - network[1].weight[1]).detach().double() / 0.5
    exact = ((pixels @ slope).abs() / (slope.abs().sum() if norm is Norm.LINF else slope.norm())).numpy()
    with torch.no_grad():
        labels = classifier.logits(stored.float() / 255).argmax(1)
    epsilon = float(np.quantile(exact, 0.8))
    images = make_images(stored, labels.numpy())
    evaluation = run(classifier, images, {"name": "square", "norm": norm, "epsilon": epsilon, "queries": 250})

    broken = evaluation.outcome == BROKEN
    assert not broken[exact > 1.01 * epsilon].any()
    far = exact < 0.3 * epsilon
    assert far.sum() > 8
    assert broken[far].all()
    assert evaluation.gradients.rows == 0
