"""Offline, nothing reaches for the network, and what is missing is named with where to bring it."""

import json
import socket
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import hub

from repaudit.errors import InvalidModel
from repaudit.sources import load_model, open_model


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches of the hub and of torch, under one folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr("timm.models._hub.get_dir", lambda: str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def attempts():
    """All that anything asks of the network from now on; the audit hook of Python sees it whatever library asks."""
    found: list[object] = []
    watching = [True]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
            found.append((event, arguments[-1]))

    sys.addaudithook(watch)  # hooks cannot be taken away: this one goes blind
    yield found
    watching.clear()


def test_the_watch_sees_an_attempt(attempts):
    with socket.socket() as free, pytest.raises(ConnectionRefusedError):
        free.connect(("127.0.0.1", 1))

    assert attempts


@pytest.fixture
def weights(tmp_path):
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


REFERENCES = [
    ("test_resnet", "repository timm/test_resnet.r160_in1k into a FOLDER"),
    ("hf-hub:some/thing", "repository some/thing into a FOLDER"),
    ("hf-hub:some/thing@v2", "repository some/thing at revision v2 into a FOLDER"),
    ("rdnet_tiny.nv_in1k", "repository naver-ai/rdnet_tiny.nv_in1k into a FOLDER"),
    ("fastvit_mci0.apple_mclip", "bring the folder models--apple--mobileclip_s0_timm of another machine"),
    ("legacy_seresnet18", "seresnet18-4bb0ce65.pth to {torch}/checkpoints/seresnet18-4bb0ce65.pth"),
    ("torchvision:squeezenet1_1", "squeezenet1_1-b8a52dc0.pth to {torch}/checkpoints/squeezenet1_1-b8a52dc0.pth"),
]


@pytest.mark.parametrize(("reference", "named"), REFERENCES)
def test_a_name_without_its_files_is_refused_without_a_word_to_the_network(
    reference, named, caches, attempts, request_for, capfd
):
    with pytest.raises(InvalidModel, match="--offline") as refusal:
        open_model(request_for(reference, offline=True))

    assert attempts == []
    assert named.format(torch=caches / "torch") in refusal.value.remedy
    assert capfd.readouterr().err == ""  # no remarks on downloads that are not tried


@pytest.mark.parametrize("reference", [name for name, _ in REFERENCES if name.startswith(("test", "hf-hub"))])
def test_the_folder_of_the_hubs_cache_is_named(reference, caches, request_for):
    with pytest.raises(InvalidModel) as refusal:
        open_model(request_for(reference, offline=True))

    owner = "timm--test_resnet.r160_in1k" if reference == "test_resnet" else "some--thing"
    assert f"models--{owner} of another machine's Hugging Face cache into {caches / 'hub'}" in refusal.value.remedy


def test_an_architecture_of_the_hub_needs_its_configuration_and_asks_for_it_in_words(
    weights, caches, attempts, request_for, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited for a network that is forbidden"))

    with pytest.raises(InvalidModel, match="--offline forbids") as refusal:
        open_model(request_for(weights, arch="hf-hub:some/thing", offline=True))

    assert attempts == []
    assert "config.json" in refusal.value.remedy


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize("arch", ["test_resnet", "test_resnet.r160_in1k"])
def test_an_architecture_by_name_needs_no_network(arch, weights, attempts, request_for):
    request = request_for(weights, arch=arch, arguments={"num_classes": 10}, offline=True)

    assert open_model(request).card.classes_count == 10
    assert attempts == []


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize("reference", ["timm:resnet50.a1_in1k", "torchvision:resnet50/IMAGENET1K_V2"])
def test_preprocessing_by_name_and_names_of_classes_need_no_network(reference, tmp_path, attempts, request_for):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "small.pth")
    request = request_for(str(tmp_path / "small.pth"), arch="test_resnet", preprocess=reference, offline=True)

    card = open_model(request).card

    assert card.preprocess.mean == (0.485, 0.456, 0.406)
    assert card.class_ids[0] == "n01440764"
    assert attempts == []


def in_the_hubs_cache(cache, repository, reference, network):
    snapshot = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    references = snapshot.parent.parent / "refs"
    references.mkdir()
    (references / reference).write_text("0" * 40)
    save_file(network.state_dict(), snapshot / "model.safetensors")
    figures = {
        "input_size": [3, 64, 64], "mean": [0.1] * 3, "std": [0.4] * 3, "num_classes": 10,
        "first_conv": "conv1.0", "classifier": "fc",
    }  # fmt: skip
    config = {"architecture": "test_resnet", "num_classes": 10, "pretrained_cfg": figures}
    (snapshot / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("reference", "kept"), [("hf-hub:some/thing", "main"), ("hf-hub:some/thing@v2", "v2")])
def test_a_repository_in_the_cache_is_read_offline_at_its_revision(reference, kept, caches, attempts, request_for):
    network = timm.create_model("test_resnet", num_classes=10).eval()
    in_the_hubs_cache(caches / "hub", "some/thing", kept, network)

    classifier = open_model(request_for(reference, offline=True))

    assert torch.equal(classifier.network.state_dict()["fc.weight"], network.state_dict()["fc.weight"])
    assert classifier.card.preprocess.mean == (0.1, 0.1, 0.1)
    assert attempts == []


def test_a_file_in_torchs_cache_is_read_offline(caches, attempts, request_for):
    (caches / "torch" / "checkpoints").mkdir(parents=True)
    network = timm.create_model("legacy_seresnet18").eval()
    torch.save(network.state_dict(), caches / "torch" / "checkpoints" / "seresnet18-4bb0ce65.pth")

    classifier = open_model(request_for("legacy_seresnet18", offline=True))

    assert classifier.card.classes_count == 1000
    assert attempts == []


def test_a_local_folder_as_architecture_that_is_not_there_is_no_matter_of_the_network(weights, tmp_path):
    with pytest.raises(InvalidModel) as refusal:
        load_model(weights, arch=f"local-dir:{tmp_path / 'absent'}", offline=True)

    assert "cache" not in refusal.value.render()
