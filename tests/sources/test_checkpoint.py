"""A checkpoint file either gives exactly the weights it holds, or an error that says what to do."""

import argparse
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from repaudit.errors import InvalidModel
from repaudit.sources import load_model, open_model


class Custom:
    """Anything that a pickle could build: the restricted reader must not."""

    def __init__(self) -> None:
        self.value = 1


@pytest.fixture
def opened(networks, half, request_for):
    def open_file(path, factory="tiny", **changed):
        return open_model(request_for(str(path), arch=f"py:{networks}:{factory}", preprocess=str(half), **changed))

    return open_file


def normalised(pixels):
    return (pixels - 0.5) / 0.5


def wrap(prefix, state):
    return OrderedDict((prefix + name, value) for name, value in state.items())


LAYOUTS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "arch": "tiny"},
    "model": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
    "parallel": lambda state: {"state_dict": wrap("module.", state), "best_prec1": 91.2},
    "compiled": lambda state: wrap("_orig_mod.", state),
    "compiled and parallel": lambda state: wrap("module._orig_mod.", state),
    "lightning": lambda state: {"state_dict": wrap("model.", state), "pytorch-lightning_version": "2.0.0"},
    "swa": lambda state: {"model_ema": {"n_averaged": torch.tensor(7), **wrap("module.", state)}},
    "timm training": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1)},
    "numpy scalar": lambda state: {"net": state, "acc": np.float64(95.1)},
    "without counters": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_found_wherever_a_training_script_put_them(layout, tiny_network, pixels, tmp_path, opened):
    torch.save(LAYOUTS[layout](tiny_network.state_dict()), tmp_path / "weights.pth")

    classifier = opened(tmp_path / "weights.pth")

    with torch.inference_mode():
        assert torch.equal(classifier.logits(pixels), tiny_network(normalised(pixels)))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".th", ".pth.tar", ".legacy.pth"])
def test_every_file_format_gives_the_same_weights_and_the_same_hash(suffix, tiny_network, pixels, tmp_path, opened):
    path = tmp_path / f"weights{suffix}"
    state = tiny_network.state_dict()
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization="legacy" not in suffix)
    torch.save(state, tmp_path / "reference.pth")

    classifier = opened(path)

    assert torch.equal(classifier.logits(pixels), tiny_network(normalised(pixels)))
    assert classifier.card.weights_sha256 == opened(tmp_path / "reference.pth").card.weights_sha256


def test_averaged_weights_win_over_plain_ones_and_the_card_says_so(tiny_network, pixels, tmp_path, opened):
    plain = {name: torch.zeros_like(value) for name, value in tiny_network.state_dict().items()}
    torch.save({"state_dict": plain, "state_dict_ema": tiny_network.state_dict()}, tmp_path / "weights.pth")

    classifier = opened(tmp_path / "weights.pth")

    assert torch.equal(classifier.logits(pixels), tiny_network(normalised(pixels)))
    assert "weights under `state_dict_ema` of weights.pth; not used: `state_dict`" in classifier.card.notes


def test_half_precision_weights_are_computed_in_float32(tiny_network, pixels, tmp_path, opened):
    torch.save({name: value.half() for name, value in tiny_network.state_dict().items()}, tmp_path / "weights.pth")

    classifier = opened(tmp_path / "weights.pth")

    assert torch.equal(classifier.logits(pixels), tiny_network.half().float()(normalised(pixels)))
    assert any("stored as float16" in note for note in classifier.card.notes)


def test_one_changed_weight_changes_the_hash(tiny_network, tmp_path, opened):
    torch.save(tiny_network.state_dict(), tmp_path / "one.pth")
    with torch.no_grad():
        tiny_network[-1].bias[0] += 1e-3
    torch.save(tiny_network.state_dict(), tmp_path / "two.pth")

    assert opened(tmp_path / "one.pth").card.weights_sha256 != opened(tmp_path / "two.pth").card.weights_sha256


def test_a_pickle_that_would_run_code_is_refused_until_it_is_trusted(tiny_network, pixels, tmp_path, opened):
    torch.save({"state_dict": tiny_network.state_dict(), "extra": Custom()}, tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="without running code") as refusal:
        opened(tmp_path / "weights.pth")
    trusted = opened(tmp_path / "weights.pth", trust_pickle=True)

    assert "--trust-pickle" in refusal.value.remedy
    assert "Custom" in refusal.value.detail
    assert refusal.value.detail.endswith("which is code, beside tensors and plain data")
    assert "safe_globals" not in refusal.value.render()
    assert torch.equal(trusted.logits(pixels), tiny_network(normalised(pixels)))
    assert any("--trust-pickle" in note for note in trusted.card.notes)


def test_a_pickled_whole_network_without_an_architecture_is_called_what_it_is(tiny_network, tmp_path):
    torch.save(tiny_network, tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="holds a whole Sequential, of which only the weights are used") as refusal:
        load_model(str(tmp_path / "weights.pth"), trust_pickle=True)

    assert "--arch" in refusal.value.remedy


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickled_whole_network_is_refused_until_it_is_trusted(new_format, tiny_network, pixels, tmp_path, opened):
    torch.save(tiny_network, tmp_path / "weights.pth", _use_new_zipfile_serialization=new_format)

    with pytest.raises(InvalidModel, match="without running code"):
        opened(tmp_path / "weights.pth")
    trusted = opened(tmp_path / "weights.pth", trust_pickle=True)

    assert torch.equal(trusted.logits(pixels), tiny_network(normalised(pixels)))


@pytest.mark.parametrize("suffix", [".pth", ".legacy.pth", ".safetensors"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_called_one(suffix, share, tiny_network, tmp_path, opened):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(tiny_network.state_dict(), path)
    else:
        torch.save(tiny_network.state_dict(), path, _use_new_zipfile_serialization="legacy" not in suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(InvalidModel, match=r"only part of one|is empty") as refusal:
        opened(path)

    assert "again" in refusal.value.remedy


@pytest.mark.parametrize(
    "content", [b"<html>404 Not Found</html>", b"\x89PNG\r\n\x1a\n" + bytes(200), b"version https://git-lfs"]
)
def test_a_file_that_is_no_checkpoint_is_called_none(content, tmp_path, opened):
    (tmp_path / "weights.pth").write_bytes(content)

    with pytest.raises(InvalidModel, match="no PyTorch checkpoint"):
        opened(tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>404</html>", b"hello\n", bytes(99)])
def test_a_file_that_is_no_checkpoint_is_not_answered_with_advice_to_run_its_code(content, tmp_path, opened):
    (tmp_path / "weights.pth").write_bytes(content)

    with pytest.raises(InvalidModel) as refusal:
        opened(tmp_path / "weights.pth")

    assert "weights_only" not in refusal.value.render()
    assert "--trust-pickle" not in refusal.value.render()


def test_a_page_saved_as_a_checkpoint_is_told_by_its_first_bytes(tmp_path, opened):
    (tmp_path / "weights.pth").write_bytes(b"<!DOCTYPE html><html>404</html>")

    with pytest.raises(InvalidModel, match=r"begins with `<!DOCTYPE html>.…`"):
        opened(tmp_path / "weights.pth")


def test_a_torn_pickle_is_not_answered_with_advice_to_run_its_code(tmp_path, opened):
    (tmp_path / "weights.pth").write_bytes(b"\x80\x02\x8a\x0a\xfe")

    with pytest.raises(InvalidModel, match="only part of one") as refusal:
        opened(tmp_path / "weights.pth")

    assert "weights_only" not in refusal.value.detail


# A TorchScript file has to be made to be refused; that making one is deprecated is not tested here.
@pytest.mark.filterwarnings(r"ignore:`torch\.jit\..*` is deprecated:FutureWarning")
@pytest.mark.filterwarnings(r"ignore:`torch\.jit\..*` is deprecated:DeprecationWarning")
def test_a_torchscript_program_is_named_as_what_it_is(tiny_network, tmp_path, opened):
    archive = tmp_path / "weights.pt"
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(tiny_network, torch.zeros(1, 3, 32, 32)), archive)

    with pytest.raises(InvalidModel, match="TorchScript"):
        opened(archive)


def test_a_missing_file_is_named(tmp_path, opened):
    with pytest.raises(InvalidModel, match=r"there is no file `.*absent\.pth`"):
        opened(tmp_path / "absent.pth")


def test_a_folder_is_no_checkpoint(tmp_path, opened):
    (tmp_path / "folder.pth").mkdir()

    with pytest.raises(InvalidModel, match="is a folder") as refusal:
        opened(tmp_path / "folder.pth")

    assert refusal.value.remedy.startswith("local-dir:")


@pytest.mark.parametrize("content", [{"epoch": 3, "loss": 0.5}, [torch.zeros(3)], torch.zeros(3)])
def test_a_file_without_weights_by_name_is_refused(content, tmp_path, opened):
    torch.save(content, tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="holds"):
        opened(tmp_path / "weights.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_not_finite_is_named(value, tiny_network, tmp_path, opened):
    state = tiny_network.state_dict()
    state["0.weight"][0, 0, 0, 0] = value
    torch.save(state, tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match=r"`0\.weight` hold NaN") as refusal:
        opened(tmp_path / "weights.pth")

    assert "1 of 162" in refusal.value.detail


def test_weights_of_another_network_are_refused_with_the_keys_that_differ(tiny_network, tmp_path, opened):
    torch.save(tiny_network.state_dict(), tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="4 missing, 5 unexpected, 4 of another shape") as refusal:
        opened(tmp_path / "weights.pth", factory="cnn_a")

    missing, unexpected, reshaped = refusal.value.detail.splitlines()
    assert missing.endswith(": 2.weight, 2.bias, 7.weight, 7.bias")
    assert unexpected.endswith(": 1.weight, 1.bias, 1.running_mean, 1.running_var, … (5 in all)")
    assert "0.weight (6, 3, 3, 3) for (16, 3, 4, 4)" in reshaped


@pytest.mark.parametrize(
    ("weights_of", "arch", "missing"),
    [("resnet18", "resnet50", "layer1.0.conv3.weight"), ("resnet18", "vit_tiny_patch16_224", "cls_token")],
)
def test_weights_in_the_wrong_arch_are_refused_with_the_first_keys_that_differ(tmp_path, weights_of, arch, missing):
    import timm

    with torch.device("meta"):
        shapes = timm.create_model(weights_of).state_dict()
    torch.save({name: torch.zeros(()).expand(value.shape) for name, value in shapes.items()}, tmp_path / "w.pth")

    with pytest.raises(InvalidModel, match=rf"the weights of w\.pth do not fit timm:{arch}") as refusal:
        load_model(str(tmp_path / "w.pth"), arch=arch)

    assert missing in refusal.value.detail
    assert refusal.value.remedy.startswith("another --arch")


def test_another_number_of_classes_is_answered_with_the_argument_to_set(tiny_network, pixels, tmp_path, opened):
    torch.save(nn.Sequential(*tiny_network[:-1], nn.Linear(6, 9)).state_dict(), tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="2 of another shape") as refusal:
        opened(tmp_path / "weights.pth")

    assert "--set model.num_classes=9" in refusal.value.remedy
    assert opened(tmp_path / "weights.pth", arguments={"classes": 9}).logits(pixels).shape == (6, 9)


def test_a_checkpoint_without_arch_is_refused_with_the_flag(tiny_network, tmp_path):
    torch.save(tiny_network.state_dict(), tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="not the network") as refusal:
        load_model(str(tmp_path / "weights.pth"))

    assert "--arch" in refusal.value.remedy


def test_an_architecture_may_not_be_another_checkpoint(tmp_path, tiny_network, request_for):
    torch.save(tiny_network.state_dict(), tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="is no architecture"):
        open_model(request_for(str(tmp_path / "weights.pth"), arch=str(tmp_path / "weights.pth")))
