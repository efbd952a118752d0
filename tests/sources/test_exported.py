"""Exported programs: .pt2 of torch.export and TorchScript."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.classifier import Capability
from repaudit.cli.app import main
from repaudit.errors import InvalidModel
from repaudit.sources import load_model

CLASSES, WIDTH = 4, 5


class Softmaxed(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).softmax(dim=1)


class Squared(nn.Module):
    """Ends in something that is not linear."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images) ** 2


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(3, WIDTH, 3), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Dropout(0.5), nn.Linear(WIDTH, CLASSES),
        ).eval()  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def preprocess(tmp_path):
    (tmp_path / "p.yaml").write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.25, 0.25, 0.25]\n")
    return str(tmp_path / "p.yaml")


def exported(network, path, batch=None):
    example = torch.zeros(batch or 2, 3, 8, 8)
    open_batch = None if batch else ({0: torch.export.Dim("batch", min=1, max=4096)},)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=open_batch), str(path))


def scripted(network, path, batch=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and files of it are still about
        torch.jit.script(network).save(str(path))


def traced(network, path, batch=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(2, 3, 8, 8)).save(str(path))


FORMS = [
    pytest.param(exported, "m.pt2", None, id="pt2"),
    pytest.param(exported, "m.pt2", 1, id="pt2 of one image"),
    pytest.param(exported, "m.pt2", 3, id="pt2 of three images"),
    pytest.param(scripted, "m.pt", None, id="script"),
    pytest.param(traced, "m.ts", None, id="trace"),
]


@pytest.mark.parametrize(("save", "name", "batch"), FORMS)
def test_it_answers_as_the_network_it_was_exported_from(tmp_path, network, images, preprocess, save, name, batch):
    save(network, tmp_path / name, batch)
    classifier = load_model(str(tmp_path / name), preprocess=preprocess)
    normalised = (images - 0.5) / 0.25

    torch.testing.assert_close(classifier.logits(images), network(normalised).detach())
    torch.testing.assert_close(classifier.features(images), network[:-1](normalised).detach())
    assert classifier.card.head.kind == "linear"
    assert classifier.card.head.feature_width == WIDTH
    assert classifier.card.head.proof_error < 1e-5
    assert classifier.card.params_count == sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize(("save", "name", "batch"), FORMS)
def test_its_gradients_are_the_network_s(tmp_path, network, images, preprocess, save, name, batch):
    save(network, tmp_path / name, batch)
    classifier = load_model(str(tmp_path / name), preprocess=preprocess)
    pixels, own = images.clone().requires_grad_(), images.clone().requires_grad_()

    (found,) = torch.autograd.grad(classifier.logits(pixels)[:, 1].sum(), pixels)
    (wanted,) = torch.autograd.grad(network((own - 0.5) / 0.25)[:, 1].sum(), own)

    assert Capability.GRADIENTS in classifier.capabilities
    torch.testing.assert_close(found, wanted)


def test_a_program_that_ends_in_a_softmax_is_asked_for_what_goes_into_it(tmp_path, network, images, preprocess):
    exported(Softmaxed(network).eval(), tmp_path / "m.pt2")
    classifier = load_model(str(tmp_path / "m.pt2"), preprocess=preprocess)

    torch.testing.assert_close(classifier.logits(images), network((images - 0.5) / 0.25).detach())
    assert any("softmax" in note for note in classifier.card.notes)


@pytest.mark.parametrize(("save", "name"), [(exported, "m.pt2"), (scripted, "m.pt")])
def test_a_program_whose_last_layer_is_not_linear_says_so_and_works(tmp_path, network, images, preprocess, save, name):
    save(Squared(network).eval(), tmp_path / name)
    classifier = load_model(str(tmp_path / name), preprocess=preprocess)

    assert classifier.card.head.kind == "none"
    assert "not linear" in classifier.card.head.reason
    torch.testing.assert_close(classifier.logits(images), network((images - 0.5) / 0.25).detach() ** 2)


def test_a_checkpoint_of_the_same_suffix_is_still_a_checkpoint(tmp_path, network, preprocess):
    torch.save(network.state_dict(), tmp_path / "m.pt")

    with pytest.raises(InvalidModel, match="holds weights, not the network"):
        load_model(str(tmp_path / "m.pt"), preprocess=preprocess)


@pytest.mark.parametrize("name", ["m.pt2", "m.ts"])
def test_a_file_that_is_no_program_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"not a program")

    with pytest.raises(InvalidModel, match="is no"):
        load_model(str(tmp_path / name))


def test_a_program_takes_no_arguments_of_an_architecture_and_must_exist(tmp_path, network):
    exported(network, tmp_path / "m.pt2")

    with pytest.raises(InvalidModel, match="takes no such argument"):
        load_model(str(tmp_path / "m.pt2"), arguments={"num_classes": 3})
    with pytest.raises(InvalidModel, match="there is no file"):
        load_model(str(tmp_path / "gone.pt2"))


def test_preprocessing_is_asked_for_and_never_guessed(tmp_path, network):
    exported(network, tmp_path / "m.pt2")

    with pytest.raises(InvalidModel, match="nothing says how images are normalised"):
        load_model(str(tmp_path / "m.pt2"))


@pytest.mark.parametrize(("save", "name"), [(exported, "m.pt2"), (scripted, "m.pt")])
def test_labels_beyond_the_classes_end_with_status_two_and_both_numbers(
    tmp_path, network, preprocess, capsys, save, name
):
    save(network, tmp_path / name)
    np.savez(tmp_path / "d.npz", images=np.zeros((6, 8, 8, 3), np.uint8), labels=np.array([0, 1, 2, 3, 9, 1]))

    status = main(["scan", str(tmp_path / name), "--data", f"npz:{tmp_path / 'd.npz'}", "--preprocess", preprocess])
    told = capsys.readouterr().err

    assert status == 2
    assert "9" in told
    assert f"{CLASSES} classes" in told
