"""The four beginnings of a network with two features."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from repaudit.errors import InvalidRecipe
from repaudit.train.examples import Examples
from repaudit.train.initialise import BIASES, ROWS, initialise
from repaudit.train.network import build
from repaudit.train.reading import load

WIDTH = {"arch": "baseline:conv4", "arguments": {"width": 4}, "bottleneck": 2}


@pytest.fixture
def begun(run, material):
    """A network before its first step, and the images; `extra` nodes."""

    def make(kind, seed=0, extra=0, images=80):
        made = run("onehot", seed=seed, network=WIDTH | {"initialisation": kind})
        built = build(made, material, extra)
        train = Examples(stored=material.train.stored[:images], labels=material.train.labels[:images])
        before = {name: tensor.clone() for name, tensor in built.network.state_dict().items()}
        return made, built, train, before

    return make


def changed(before, built):
    after = built.network.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name]) and before[name].is_floating_point()}


def test_by_default_a_network_stays_as_it_is(begun):
    made, built, train, before = begun("default")
    initialise(made, built, train)

    assert changed(before, built) == set()


def test_a_far_extractor_takes_one_step_of_descent_on_the_distance_from_80_80_for_each_batch(begun):
    made, built, train, before = begun("far-extractor", images=16)  # one batch
    network = built.network.network.train()
    pixels = (train.stored.float() / 255 - 0.5) / 0.5
    features = network[-1][0](network[:-1](pixels))
    distance = ((features - 80) ** 2).sum(dim=1).sqrt().mean()
    moving = {name: parameter for name, parameter in network.named_parameters() if not name.startswith("15.1.")}
    slopes = torch.autograd.grad(distance, list(moving.values()))
    expected = {name: moving[name].detach() - 5e-4 * slope for name, slope in zip(moving, slopes, strict=True)}
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in before.items() if name.startswith("network.")}
    )
    initialise(made, built, train)

    for name, wanted in expected.items():
        torch.testing.assert_close(network.get_parameter(name).detach(), wanted, rtol=1e-5, atol=1e-7)


def test_a_far_extractor_leaves_the_head_alone_and_comes_nearer_to_its_point(begun):
    made, built, train, before = begun("far-extractor")
    network = built.network.network

    def distance():
        built.network.train()
        features = network[-1][0](network[:-1]((train.stored.float() / 255 - 0.5) / 0.5))
        return float((features - 80).norm(dim=1).mean().detach())

    start = distance()
    initialise(made, built, train)
    moved = changed(before, built)

    assert distance() < start
    assert not any(name.startswith("network.15.1.") for name in moved)
    assert "network.15.0.weight" in moved


def test_a_far_head_needs_the_ten_classes_that_its_rows_are_of(begun):
    made, built, train, _ = begun("far-head")  # four classes

    with pytest.raises(InvalidRecipe, match="has rows for 10 classes"):
        initialise(made, built, train)


@pytest.mark.parametrize("extra", [0, 7])
def test_a_far_head_has_the_published_rows_and_biases_and_virtual_rows_stay(begun, material, extra):
    ten = replace(material, classes=10)
    made, _, train, _ = begun("far-head")
    built = build(made, ten, extra)
    before = {name: tensor.clone() for name, tensor in built.network.state_dict().items()}
    initialise(made, built, train)
    moved = changed(before, built)
    head = "network.15.1." + ("real." if extra else "")

    assert moved == {f"{head}weight", f"{head}bias"}
    state = built.network.state_dict()
    assert state[f"{head}weight"][0].tolist() == pytest.approx([0.1318, -0.0165])
    assert state[f"{head}weight"][9].tolist() == pytest.approx([0.3619, 0.1806])
    assert state[f"{head}bias"].sum().item() == pytest.approx(3.384, abs=1e-4)  # of the ten printed ones, by hand


def test_the_far_head_divides_the_line_to_80_80_in_the_order_of_its_classes():
    along = np.linspace(0, 80, 200)[:, None] * np.ones(2)
    winners = (along @ np.array(ROWS).T + BIASES).argmax(axis=1)

    assert winners[0] == 0
    assert (np.diff(winners) >= 0).all()
    assert len(set(winners.tolist())) > 3


def test_a_far_beginning_without_a_plane_is_refused():
    with pytest.raises(InvalidRecipe, match="needs features that lie in a plane") as refusal:
        load(None, settings=["network.initialisation=far-head"])
    assert "--bottleneck 2" in refusal.value.render()
    with pytest.raises(InvalidRecipe, match="`snapshots` needs features"):
        load(None, settings=["network.bottleneck=3"], given={"snapshots": 1})


def test_runs_made_before_there_were_other_beginnings_keep_their_identity(run):
    plain, far = run(network=WIDTH), run(network=WIDTH | {"initialisation": "far-extractor"})

    assert "initialisation" not in plain.decisive["network"]
    assert far.decisive["network"]["initialisation"] == "far-extractor"
    assert far.identity != plain.identity
    assert run(network=WIDTH, snapshots=2).identity == plain.identity
