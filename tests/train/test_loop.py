"""One run: what it begins with, what stops it, and that it goes on as if nothing had."""

import json
import math
from dataclasses import replace

import pytest
import torch

from repaudit.errors import InvalidRecipe, UnfinishedError
from repaudit.preprocessing import Preprocess
from repaudit.train import checkpoint, loop
from repaudit.train.batches import Batches
from repaudit.train.distributed import Ranks
from repaudit.train.loop import Stopped, train
from repaudit.train.network import build
from repaudit.train.targets import Labelling, soft_cross_entropy


def weights(built):
    return {name: tensor.clone() for name, tensor in built.network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def after(steps):
    """A question that is answered with yes once it was asked so often."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= steps


METHODS = ["onehot", "ls", "mixup", "cutmix", "vs", "cutmix+vs"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [2, 5, 8])
def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(run, material, conditions, method, steps):
    whole = weights(train(run(method), material, conditions("whole")))

    with pytest.raises(Stopped):
        train(run(method), material, conditions(stopped=after(steps)))
    resumed = weights(train(run(method), material, conditions()))

    assert same(whole, resumed)


def test_a_run_killed_without_a_word_goes_on_from_its_last_checkpoint(run, material, conditions, monkeypatch):
    whole = weights(train(run("vs"), material, conditions("whole")))
    monkeypatch.setattr(loop, "SAVED_EVERY", 0.0)
    real, kept = checkpoint.save, []

    def killed(state, folder, identity):
        real(state, folder, identity)
        kept.append(state.step)
        if len(kept) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(run("vs"), material, conditions())
    monkeypatch.setattr(checkpoint, "save", real)

    assert same(whole, weights(train(run("vs"), material, conditions())))


def test_the_log_has_every_epoch_once_after_an_interruption(run, material, conditions):
    place = conditions(stopped=after(7))
    with pytest.raises(Stopped):
        train(run(), material, place)
    train(run(), material, conditions())

    lines = [json.loads(line) for line in (place.folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["test"]["accuracy"] > 0.4


def test_all_methods_of_a_seed_begin_with_the_same_real_weights(run, material):
    plain = build(run("onehot"), material, 0).network.state_dict()
    wide = build(run("vs"), material, 6)
    other = build(run("onehot", seed=1), material, 0).network.state_dict()

    assert torch.equal(wide.network.state_dict()["network.15.real.weight"], plain["network.15.weight"])
    assert torch.equal(wide.network.state_dict()["network.0.weight"], plain["network.0.weight"])
    assert not torch.equal(other["network.0.weight"], plain["network.0.weight"])
    assert wide.network.state_dict()["network.15.virtual.weight"].shape == (6, 8)


def test_all_methods_of_a_seed_see_the_same_images_in_the_same_order(run, material):
    labelling = Labelling(classes=4)
    plain, mixed = (Batches(run(method), material, labelling, Ranks()) for method in ("onehot", "mixup"))

    for step in range(plain.steps):
        one, share = plain.at(1, step)
        other, _ = mixed.at(1, step)
        assert share == 1.0
        assert torch.equal(one.rows, other.rows)
        assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_make_the_batch_of_one(run, material, method):
    labelling = Labelling(classes=4)
    whole = Batches(run(method), material, labelling, Ranks())
    halves = [Batches(run(method), material, labelling, Ranks(rank, 2)) for rank in range(2)]

    for step in range(whole.steps):
        one, share = whole.at(2, step)
        parts = [half.at(2, step) for half in halves]
        assert torch.equal(torch.cat([part.images for part, _ in parts]), one.images)
        assert torch.allclose(torch.cat([part.targets for part, _ in parts]), one.targets)
        assert {part_share for _, part_share in parts} == {share}


def test_the_excess_of_the_loss_is_what_lies_above_the_entropy_of_the_targets(run, material, conditions):
    told = []
    train(run("ls", epochs=1, optimizer={"rate": 1e-12}), material, conditions(told=told.append))
    uniform = math.log(4)  # of four equal logits, whatever the targets
    floor = -(0.925 * math.log(0.925) + 3 * 0.025 * math.log(0.025))

    assert told[0].loss - told[0].excess == pytest.approx(floor, abs=1e-6)
    assert told[0].loss == pytest.approx(uniform, rel=0.3)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(
    run, material, conditions, monkeypatch
):
    monkeypatch.setattr(loop, "SAVED_EVERY", 0.0)
    place, calls = conditions(), []

    def broken(logits, targets):
        calls.append(1)
        return soft_cross_entropy(logits, targets) + (float("nan") if len(calls) == 2 else 0.0)

    monkeypatch.setattr("repaudit.train.objectives.standard.soft_cross_entropy", broken)
    with pytest.raises(UnfinishedError, match=r"onehot-seed0 is nan in epoch 1, batch 2") as stopped:
        train(run(), material, place)

    state = checkpoint.load(place.folder, run().identity, torch.device("cpu"))
    assert (state.epoch, state.step) == (0, 1)
    assert all(bool(tensor.isfinite().all()) for tensor in state.network.values())
    assert "kept" in stopped.value.detail
    assert "optimizer.rate=0.025" in stopped.value.remedy


def test_a_checkpoint_of_another_run_is_not_continued(run, material, conditions):
    with pytest.raises(Stopped):
        train(run(), material, conditions(stopped=after(2)))

    with pytest.raises(InvalidRecipe, match="another run"):
        train(run(optimizer={"rate": 0.2}), material, conditions())


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(run, material, conditions, monkeypatch):
    with pytest.raises(Stopped):
        train(run(), material, conditions(stopped=after(2)))
    before = (conditions().folder / checkpoint.FILE).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UnfinishedError, match="No space left"):
        train(run(), material, conditions())

    assert (conditions().folder / checkpoint.FILE).read_bytes() == before
    assert (
        sorted(path.name for path in conditions().folder.iterdir())
        == [checkpoint.FILE, "log.jsonl"][: 1 + (conditions().folder / "log.jsonl").exists()]
    )


def test_training_leaves_the_global_random_numbers_alone(run, material, conditions):
    before = torch.random.get_rng_state()
    train(run("cutmix+vs", network={"arch": "baseline:conv4", "arguments": {"width": 4}}), material, conditions())

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("arch", ["baseline:conv4", "baseline:conv5"])
def test_a_network_for_grey_images_takes_coloured_ones_where_the_data_are(run, material, arch):
    coloured = replace(
        material,
        preprocess=Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3, size=(16, 16), source="test"),
    )
    built = build(run("vs", network={"arch": arch}), coloured, 4)

    assert built.network(torch.rand(2, 3, 16, 16)).shape == (2, 8)
    assert built.trained.arguments["channels"] == 3
