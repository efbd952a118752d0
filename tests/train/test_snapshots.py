"""The plane over training: complete after any interruption, and no part of the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from repaudit.audits._plane_snapshots import FILE, SHOWN, read_snapshots, telling_moments, training_figure
from repaudit.errors import InvalidRecipe, UnfinishedError
from repaudit.train.loop import Stopped, train
from repaudit.train.network import build
from repaudit.train.snapshots import Snapshots

NETWORK = {"arch": "baseline:conv4", "arguments": {"width": 4}, "bottleneck": 2}


@pytest.fixture
def watched(run):
    return lambda method="onehot", each=1, **changed: run(method, network=NETWORK, snapshots=each, **changed)


def state(built):
    return {name: tensor.clone() for name, tensor in built.network.state_dict().items()}


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__slots__)


@pytest.mark.parametrize("method", ["onehot", "vs"])
def test_snapshots_leave_the_weights_as_they_would_have_been(run, watched, material, conditions, method):
    plain = state(train(run(method, network=NETWORK), material, conditions("plain")))
    seen = state(train(watched(method), material, conditions("seen")))

    assert all(torch.equal(plain[name], seen[name]) for name in plain)


@pytest.mark.parametrize("method", ["onehot", "vs"])
def test_the_last_snapshot_is_the_trained_network(watched, material, conditions, method):
    place = conditions("run")
    built = train(watched(method), material, place)
    found = read_snapshots(place.folder / FILE)
    built.network.eval()
    features = []
    head = built.network.network[-1][1]
    head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        logits = built.network(material.test.stored.float() / 255)[:, :4]

    assert found.epoch.tolist() == [0, 1, 2, 3]
    assert np.array_equal(found.features[-1], features[0].numpy())
    assert found.features[-1] @ found.weight[-1].T + found.bias[-1] == pytest.approx(logits.numpy(), abs=1e-5)
    assert found.labels.tolist() == material.test.labels.tolist()


@pytest.mark.parametrize("steps", [1, 5, 6, 11])
def test_a_run_that_was_stopped_has_the_snapshots_of_one_that_was_not(watched, material, conditions, steps):
    whole, broken = conditions("whole"), conditions("broken")
    train(watched(), material, whole)
    asked = iter(range(10**6))
    with pytest.raises(Stopped):
        train(watched(), material, conditions("broken", stopped=lambda: next(asked) >= steps))
    train(watched(), material, broken)

    assert equal(read_snapshots(whole.folder / FILE), read_snapshots(broken.folder / FILE))


def test_snapshots_of_epochs_that_are_made_again_are_replaced(watched, material, conditions):
    place = conditions("run")
    train(watched(), material, place)
    (place.folder / "checkpoint.pt").unlink()
    train(watched(), material, place)

    assert read_snapshots(place.folder / FILE).epoch.tolist() == [0, 1, 2, 3]


def test_every_second_epoch_and_the_last_are_kept(watched, material, conditions):
    place = conditions("run")
    train(watched(each=2), material, place)

    assert read_snapshots(place.folder / FILE).epoch.tolist() == [0, 2, 3]


def test_a_full_disk_is_told(watched, material, conditions, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UnfinishedError, match="cannot be written"):
        train(watched(), material, conditions("run"))


def test_the_first_and_the_last_moment_are_shown_and_between_them_equal_ratios():
    assert telling_moments(np.arange(101)) == [0, 1, 3, 10, 32, 100]
    assert telling_moments(np.arange(4)) == [0, 1, 2, 3]
    assert telling_moments(np.array([0, 50, 100, 150, 200, 250, 300, 350])) == sorted({0, 1, 2, 3, 4, 7})
    assert len(telling_moments(np.arange(0, 301, 7))) <= SHOWN


BROKEN = {
    "labels of no class": lambda arrays: arrays | {"labels": arrays["labels"] + 4},
    "another number of images": lambda arrays: arrays | {"labels": arrays["labels"][1:]},
    "epochs out of order": lambda arrays: arrays | {"epoch": arrays["epoch"][::-1]},
    "no number": lambda arrays: arrays | {"weight": arrays["weight"] * np.nan},
    "a part missing": lambda arrays: {name: value for name, value in arrays.items() if name != "bias"},
}


@pytest.fixture
def arrays(rng):
    return {
        "epoch": np.arange(3),
        "weight": rng.standard_normal((3, 4, 2)),
        "bias": rng.standard_normal((3, 4)),
        "features": rng.standard_normal((3, 20, 2)),
        "labels": np.arange(20) % 4,
    }


@pytest.mark.parametrize("break_it", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_does_not_fit_together_is_not_drawn(arrays, tmp_path, break_it):
    np.savez(tmp_path / "sound.npz", **arrays)
    np.savez(tmp_path / "broken.npz", **break_it(arrays))

    assert read_snapshots(tmp_path / "sound.npz") is not None
    assert read_snapshots(tmp_path / "broken.npz") is None


def test_a_torn_file_is_not_drawn(tmp_path):
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")

    assert read_snapshots(tmp_path / "torn.npz") is None
    assert read_snapshots(tmp_path / "none.npz") is None


def test_only_snapshots_that_end_in_the_model_s_own_head_are_drawn(arrays, tmp_path, make_classifier):
    classifier = make_classifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 4)))
    (tmp_path / "model.safetensors").touch()
    classifier = replace(classifier, card=replace(classifier.card, ref=str(tmp_path / "model.safetensors")))
    np.savez(tmp_path / FILE, **arrays)

    figure = training_figure(classifier, arrays["weight"][-1], 0)
    assert [moment["epoch"] for moment in figure.data["snapshots"]] == [0, 1, 2]
    assert figure.data["label"] == arrays["labels"].tolist()
    assert training_figure(classifier, arrays["weight"][0], 0) is None
    assert training_figure(classifier, np.zeros((4, 3)), 0) is None


def test_a_network_of_two_heads_has_no_one_plane(run, material, tmp_path):
    built = build(run(network=NETWORK), material, 0)
    with pytest.raises(InvalidRecipe, match="one linear head"):
        Snapshots(tmp_path, replace(built, heads=("a", "b")), material.test)
