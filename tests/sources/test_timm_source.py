"""timm names, folders and the hub: what a name resolved to is said, and nothing is left to chance weights."""

import json
import logging
import socket

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from repaudit.errors import InvalidModel
from repaudit.sources import open_model


@pytest.fixture
def small():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model("resnet10t", num_classes=1000).eval()


@pytest.fixture
def folder(tmp_path, small):
    """A model as timm saves it for the hub."""
    path = tmp_path / "my_resnet"
    path.mkdir()
    save_file(small.state_dict(), path / "model.safetensors")
    config = {
        "architecture": "resnet10t",
        "num_classes": 1000,
        "pretrained_cfg": {
            "tag": "mine",
            "input_size": [3, 64, 64],
            "interpolation": "bilinear",
            "crop_pct": 0.8,
            "mean": [0.1, 0.2, 0.3],
            "std": [0.4, 0.5, 0.6],
            "num_classes": 1000,
            "first_conv": "conv1.0",
            "classifier": "fc",
        },
    }
    (path / "config.json").write_text(json.dumps(config))
    return path


def edit(folder, **changed):
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"].update(changed)
    config["num_classes"] = config["pretrained_cfg"]["num_classes"]
    (folder / "config.json").write_text(json.dumps(config))


def test_a_local_folder_brings_weights_and_preprocessing(folder, small, request_for):
    request = request_for(f"local-dir:{folder}")
    classifier = open_model(request)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean, std = torch.tensor([0.1, 0.2, 0.3])[:, None, None], torch.tensor([0.4, 0.5, 0.6])[:, None, None]

    with torch.inference_mode():
        assert torch.equal(classifier.logits(images), small((images - mean) / std))
    preprocess = classifier.card.preprocess
    assert (preprocess.size, preprocess.resize, preprocess.interpolation.value) == ((64, 64), 80, "bilinear")
    assert classifier.card.resolved == "timm:local-dir:my_resnet (model.safetensors)"
    assert set(classifier.card.files) == {"model.safetensors", "config.json"}
    digest = classifier.card.weights_sha256[:12]
    assert request.progress.notes[0] == f"local-dir:{folder} -> {classifier.card.resolved} (sha256 {digest})"


def test_an_imagenet_model_names_its_classes_in_imagenets_order(folder, request_for):
    ids = open_model(request_for(f"local-dir:{folder}")).card.class_ids

    assert ids == tuple(sorted(ImageNetInfo().label_names()))
    assert (ids[0], ids[207], ids[999]) == ("n01440764", "n02099601", "n15075141")  # tench, golden retriever, tissue


def test_another_number_of_classes_has_no_imagenet_names(folder, request_for):
    edit(folder, num_classes=37)
    save_file(timm.create_model("resnet10t", num_classes=37).state_dict(), folder / "model.safetensors")

    card = open_model(request_for(f"local-dir:{folder}")).card

    assert (card.classes_count, card.class_ids) == (37, None)


def test_class_names_of_the_folder_are_kept(folder, request_for):
    edit(folder, num_classes=3, label_names=["cat", "dog", "emu"])
    save_file(timm.create_model("resnet10t", num_classes=3).state_dict(), folder / "model.safetensors")

    assert open_model(request_for(f"local-dir:{folder}")).card.class_ids == ("cat", "dog", "emu")


def test_a_checkpoint_with_a_timm_architecture_is_that_network_with_those_weights(tmp_path, small, request_for):
    torch.save({"state_dict_ema": small.state_dict(), "state_dict": {}}, tmp_path / "weights.pth.tar")
    classifier = open_model(request_for(str(tmp_path / "weights.pth.tar"), arch="resnet10t"))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean, std = (
        torch.tensor(timm.get_pretrained_cfg("resnet10t").to_dict()[key])[:, None, None] for key in ("mean", "std")
    )

    with torch.inference_mode():
        assert torch.allclose(classifier.logits(images), small((images - mean) / std), atol=1e-5)
    assert classifier.card.resolved == "checkpoint:weights.pth.tar in timm:resnet10t"
    assert any("preprocessing is that of timm:resnet10t.c3_in1k" in note for note in classifier.card.notes)


def test_an_architecture_argument_changes_the_network(tmp_path, request_for):
    state = timm.create_model("mobilenetv2_035", num_classes=4).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    images = torch.rand(2, 3, 63, 63, generator=torch.Generator().manual_seed(1))

    def logits(**arguments):
        request = request_for(
            str(tmp_path / "weights.pth"), arch="mobilenetv2_035", arguments={"num_classes": 4, **arguments}
        )
        return open_model(request).logits(images)

    assert not torch.allclose(logits(), logits(pad_type="same"), atol=1e-3)


def test_weights_under_an_older_naming_are_renamed_by_timms_own_converter(tmp_path, request_for):
    network = timm.create_model("convnext_atto", num_classes=4)
    older = {
        name.replace("stem.", "downsample_layers.0.")
        .replace("head.fc.", "head.")
        .replace("head.norm.", "norm.")
        .replace(".conv_dw.", ".dwconv.")
        .replace(".mlp.fc1.", ".pwconv1.")
        .replace(".mlp.fc2.", ".pwconv2."): value
        for name, value in network.state_dict().items()
    }
    for stage in range(4):
        older = {
            name.replace(f"stages.{stage}.blocks.", f"stages.{stage}.").replace(
                f"stages.{stage}.downsample.", f"downsample_layers.{stage}."
            ): value
            for name, value in older.items()
        }
    torch.save(older, tmp_path / "weights.pth")

    classifier = open_model(
        request_for(str(tmp_path / "weights.pth"), arch="convnext_atto", arguments={"num_classes": 4})
    )

    assert any("converter" in note for note in classifier.card.notes)
    loaded = classifier.network.state_dict()
    assert all(
        torch.equal(loaded[name], value.reshape(loaded[name].shape)) for name, value in network.state_dict().items()
    )


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("resnet5", "timm knows no model `resnet5`", "resnet50"),
        ("mobilnetv2_100", "timm knows no model", "mobilenetv2_100"),
        ("zzzzzzzz", "timm knows no model", "list_models"),
        ("resnet50.a1_in2k", "has no weights tagged `a1_in2k`", "resnet50.a1_in1k"),
        ("timm:resnet5", "timm knows no model", "resnet50"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, problem, remedy, request_for):
    with pytest.raises(InvalidModel, match=problem) as refusal:
        open_model(request_for(name))

    assert remedy in refusal.value.remedy


def test_an_unknown_argument_is_named_with_the_nearest(tmp_path, small, request_for):
    torch.save(small.state_dict(), tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="takes no argument `pad_typ`") as refusal:
        open_model(request_for(str(tmp_path / "weights.pth"), arch="mobilenetv2_100", arguments={"pad_typ": "same"}))

    assert refusal.value.remedy == "--set model.pad_type=same"


def test_an_argument_of_the_wrong_kind_is_refused(tmp_path, small, request_for):
    torch.save(small.state_dict(), tmp_path / "weights.pth")

    with pytest.raises(InvalidModel, match="could not be built with num_classes='many'"):
        open_model(request_for(str(tmp_path / "weights.pth"), arch="resnet10t", arguments={"num_classes": "many"}))


@pytest.mark.parametrize(("argument", "value"), [("num_classes", 10), ("in_chans", 1)])
def test_an_argument_that_would_leave_random_weights_is_refused(argument, value, folder, request_for):
    for name in ("resnet10t.c3_in1k", f"local-dir:{folder}"):
        with pytest.raises(InvalidModel, match=f"trained with {argument}="):
            open_model(request_for(name, arguments={argument: value}))


def test_a_backbone_without_classes_is_refused(request_for):
    with pytest.raises(InvalidModel, match="backbone without classes"):
        open_model(request_for("vit_small_patch14_dinov2.lvd142m"))


@pytest.mark.parametrize(
    ("name", "repository"),
    [("resnet10t", "timm/resnet10t.c3_in1k"), ("hf-hub:somebody/something", "somebody/something")],
)
def test_weights_that_cannot_be_had_offline_are_named_with_what_to_bring(
    name, repository, request_for, monkeypatch, tmp_path
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    before = constants.HF_HUB_OFFLINE

    with pytest.raises(InvalidModel, match="--offline forbids the download") as refusal:
        open_model(request_for(name, offline=True))

    assert repository in refusal.value.remedy
    assert f"the same command with local-dir:FOLDER in place of {name}" in refusal.value.remedy
    assert "Internet" not in refusal.value.render()
    assert constants.HF_HUB_OFFLINE is before


@pytest.fixture
def deaf_hub(monkeypatch, tmp_path) -> str:
    """An address of this machine at which nobody listens, in place of the hub's."""
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return endpoint


@pytest.mark.parametrize("name", ["resnet10t", "hf-hub:somebody/something"])
def test_a_hub_that_does_not_answer_is_asked_once_and_in_silence(name, deaf_hub, request_for, monkeypatch, capfd):
    from huggingface_hub import constants

    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    level = logging.getLogger("huggingface_hub").level

    with pytest.raises(InvalidModel, match="could not be downloaded") as refusal:
        open_model(request_for(name, offline=False))

    assert pauses == []
    assert capfd.readouterr().err == ""
    assert "refused" in refusal.value.detail
    assert logging.getLogger("huggingface_hub").level == level
    assert constants.HF_HUB_OFFLINE is False


@pytest.fixture
def cached(small, monkeypatch, tmp_path) -> None:
    """The hub's cache with one model in it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--timm--resnet10t.c3_in1k"
    snapshot = repository / "snapshots" / "0123456789"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123456789")
    save_file(small.state_dict(), snapshot / "model.safetensors")


@pytest.mark.usefixtures("cached", "deaf_hub")
def test_weights_in_the_hubs_cache_are_found_when_the_hub_does_not_answer(request_for, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)

    assert open_model(request_for("resnet10t", offline=False)).card.resolved == "timm:resnet10t.c3_in1k"
    assert pauses == []


@pytest.mark.usefixtures("cached")
def test_weights_in_the_hubs_cache_are_found_offline_and_the_tag_is_resolved(small, request_for):
    card = open_model(request_for("resnet10t", offline=True)).card

    assert card.resolved == "timm:resnet10t.c3_in1k"
    assert (card.preprocess.size, card.preprocess.resize) == ((176, 176), 201)  # floor(176 / .875)
    assert card.class_ids[0] == "n01440764"
    assert card.params_count == sum(parameter.numel() for parameter in small.parameters())


def test_a_folder_without_config_or_weights_is_refused(folder, request_for):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InvalidModel, match="holds no weights"):
        open_model(request_for(f"local-dir:{folder}"))
    (folder / "config.json").unlink()
    with pytest.raises(InvalidModel, match=r"has no config\.json"):
        open_model(request_for(f"local-dir:{folder}"))
    with pytest.raises(InvalidModel, match="there is no folder"):
        open_model(request_for(f"local-dir:{folder / 'absent'}"))


def test_a_folder_with_a_broken_config_is_refused(folder, request_for):
    (folder / "config.json").write_text("{")

    with pytest.raises(InvalidModel, match=r"local-dir"):
        open_model(request_for(f"local-dir:{folder}"))


def test_a_folder_with_truncated_weights_is_refused(folder, request_for):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(InvalidModel, match="only part of one"):
        open_model(request_for(f"local-dir:{folder}"))


def test_building_leaves_the_global_random_state_alone(folder, request_for):
    before = torch.get_rng_state()

    open_model(request_for(f"local-dir:{folder}"))

    assert torch.equal(torch.get_rng_state(), before)
