"""torchvision names resolve to exactly one weights entry, and files that cannot be had are named."""

from urllib.error import URLError

import pytest
import torch
from torch import hub
from torchvision import models

from repaudit.errors import InvalidModel
from repaudit.sources import open_model

ENTRY = models.SqueezeNet1_1_Weights.IMAGENET1K_V1


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch.hub."""
    monkeypatch.setattr(hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.fixture
def state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.shufflenet_v2_x0_5(weights=None).eval().state_dict()


def test_the_default_weights_are_resolved_by_name_and_loaded_from_the_cache(cache, state, request_for):
    entry = models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    torch.save(state, cache / entry.url.rpartition("/")[2])
    request = request_for("torchvision:shufflenet_v2_x0_5")

    classifier = open_model(request)

    assert classifier.card.resolved == "torchvision:shufflenet_v2_x0_5/IMAGENET1K_V1"
    assert torch.equal(classifier.network.state_dict()["fc.weight"], state["fc.weight"])
    assert classifier.card.head.modules == ("fc",)
    assert classifier.card.class_ids[0] == "n01440764"
    assert (classifier.card.preprocess.size, classifier.card.preprocess.resize) == ((224, 224), 256)


def test_a_checkpoint_goes_into_a_torchvision_architecture(tmp_path, state, request_for):
    torch.save({"model": state, "epoch": 299}, tmp_path / "weights.pth")
    classifier = open_model(request_for(str(tmp_path / "weights.pth"), arch="torchvision:shufflenet_v2_x0_5"))
    reference = models.shufflenet_v2_x0_5(weights=None).eval()
    reference.load_state_dict(state)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    with torch.inference_mode():
        assert torch.equal(classifier.logits(images), reference((images - mean) / std))
    assert classifier.card.resolved == "checkpoint:weights.pth in torchvision:shufflenet_v2_x0_5"


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("resnt50", "no classifier `resnt50`", "torchvision:resnet50"),
        ("resnet50/IMAGENET1K_V3", "no weights `IMAGENET1K_V3`", "torchvision:resnet50/IMAGENET1K_V"),
        ("fcn_resnet50", "no classifier `fcn_resnet50`", "torchvision:"),
        ("resnet50.a1_in1k", "no classifier", "torchvision:resnet50"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, problem, remedy, request_for):
    with pytest.raises(InvalidModel, match=problem) as refusal:
        open_model(request_for(f"torchvision:{name}"))

    assert remedy in refusal.value.remedy


def test_weights_absent_from_the_cache_are_named_with_their_file_when_offline(cache, request_for):
    with pytest.raises(InvalidModel, match="--offline") as refusal:
        open_model(request_for("torchvision:squeezenet1_1", offline=True))

    assert ENTRY.url in refusal.value.remedy
    assert str(cache) in refusal.value.remedy
    assert "TORCH_HOME" in refusal.value.remedy


def test_a_failed_download_is_named_with_the_file_to_bring(cache, request_for, monkeypatch):
    def unreachable(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(hub, "download_url_to_file", unreachable)

    with pytest.raises(InvalidModel, match="could not be downloaded") as refusal:
        open_model(request_for("torchvision:squeezenet1_1", offline=False))

    assert "no route to host" in refusal.value.detail
    assert ENTRY.url in refusal.value.remedy


def test_a_truncated_file_in_the_cache_is_named_with_its_removal(cache, request_for):
    (cache / ENTRY.url.rpartition("/")[2]).write_bytes(b"PK\x03\x04 half a download")

    with pytest.raises(InvalidModel, match=r"cached weights .* do not load") as refusal:
        open_model(request_for("torchvision:squeezenet1_1"))

    assert refusal.value.remedy.startswith("rm ")


def test_an_argument_that_does_not_fit_the_weights_is_refused(cache, request_for):
    (cache / ENTRY.url.rpartition("/")[2]).write_bytes(b"")

    with pytest.raises(InvalidModel, match="could not be built with num_classes=10"):
        open_model(request_for("torchvision:squeezenet1_1", arguments={"num_classes": 10}))


def test_an_unknown_argument_is_named(tmp_path, state, request_for):
    torch.save(state, tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="takes no argument `num_clases`") as refusal:
        open_model(
            request_for(
                str(tmp_path / "weights.pth"), arch="torchvision:shufflenet_v2_x0_5", arguments={"num_clases": 3}
            )
        )

    assert refusal.value.remedy == "--set model.num_classes=3"
