"""A stream belongs to what it is for, whenever and wherever it is drawn."""

import numpy as np
import torch

from repaudit.attacks.noise import uniforms
from repaudit.train.streams import Purpose, drawing, key, numpy_generator, order, row_keys


def test_streams_of_different_uses_differ():
    uses = [(seed, purpose, part) for seed in range(3) for purpose in Purpose for part in range(3)]

    assert len({key(seed, purpose, part) for seed, purpose, part in uses}) == len(uses)


def test_an_image_has_its_stream_in_any_batch():
    rows = torch.tensor([5, 0, 1_000_000])
    together = row_keys(7, Purpose.CROP, 3, rows)

    assert [row_keys(7, Purpose.CROP, 3, row[None]).item() for row in rows] == together.tolist()
    assert len(set(together.tolist())) == 3


def test_uniforms_of_neighbouring_images_are_not_correlated():
    drawn = uniforms(row_keys(0, Purpose.FLIP, 0, torch.arange(20_000)), 1)[:, 0].numpy()

    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / 20_000**0.5
    assert abs(drawn.mean() - 0.5) < 4 * (1 / 12 / 20_000) ** 0.5


def test_the_order_is_a_permutation_of_its_own_in_every_epoch():
    first, second = order(0, 0, 100), order(0, 1, 100)

    assert sorted(first) == sorted(second) == list(range(100))
    assert list(first) != list(second)
    assert np.array_equal(order(0, 0, 100), first)


def test_drawing_for_one_purpose_leaves_others_and_the_global_numbers_alone():
    before = torch.random.get_rng_state()
    with drawing(1, Purpose.INITIAL_WEIGHTS):
        first = torch.rand(3)
    numpy_generator(1, Purpose.MIXING, 0).random(10)
    with drawing(1, Purpose.INITIAL_WEIGHTS):
        again = torch.rand(3)

    assert torch.equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)
