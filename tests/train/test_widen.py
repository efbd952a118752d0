"""A network with virtual classes is the ordinary one and something beside it."""

import pytest
import timm
import torch
from torch import nn

from repaudit.sources._head import find_head
from repaudit.train.widen import joined, split, widen


def built(name):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=6).eval()


def heads_of(network, images):
    with torch.no_grad():
        return find_head(network, 6, lambda _: network(images)).card.modules


@pytest.fixture
def images():
    return torch.rand(3, 3, 160, 160, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_byobnet"])
def test_exported_logits_are_the_first_of_the_wide_ones_to_the_last_bit(name, images):
    network = built(name)
    heads = heads_of(network, images)
    before = network(images)
    widen(network, heads, 4, seed=3)

    wide = network(images)
    ordinary, virtual = split(network.state_dict(), heads)
    exported = built(name)
    exported.load_state_dict(ordinary)

    assert wide.shape == (3, 10)
    assert torch.equal(wide[:, :6], before)
    assert torch.equal(exported(images), wide[:, :6])
    assert {tensor.shape[0] for tensor in virtual.values()} == {4}


def test_several_averaged_heads_and_convolutions_are_widened_too():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(5, 6), nn.Conv2d(5, 6, 1)

        def forward(self, images):
            return (self.one(images.mean((2, 3))) + self.other(images).mean((2, 3))) / 2

    network, images = Two(), torch.rand(3, 5, 4, 4)
    heads = heads_of(network, images)
    before = network(images)
    widen(network, heads, 2, seed=0)

    assert sorted(heads) == ["one", "other"]
    assert network(images).shape == (3, 8)
    assert torch.equal(network(images)[:, :6], before)


def test_what_was_split_is_joined_again(images):
    network = built("test_resnet")
    heads = heads_of(network, images)
    widen(network, heads, 4, seed=3)
    state = network.state_dict()

    assert joined(*split(state, heads), heads).keys() == state.keys()
    assert all(torch.equal(joined(*split(state, heads), heads)[name], state[name]) for name in state)


def test_virtual_rows_come_from_the_seed_and_leave_global_numbers_alone(images):
    rows = []
    for seed in (3, 3, 4):
        network = built("test_resnet")
        state = torch.random.get_rng_state()
        widen(network, ("fc",), 4, seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        rows.append(network.fc.virtual.weight)

    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
