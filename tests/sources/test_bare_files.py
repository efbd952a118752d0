"""A file that does not say how its images are normalised: the three ways to say it, and the refusal without."""

import warnings

import pytest
import timm
import torch

from repaudit.errors import InvalidModel
from repaudit.sources import load_model

FILES = ("net.onnx", "net.pt2", "net.ts")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A small timm network and its three exports."""
    folder = tmp_path_factory.mktemp("bare")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = timm.create_model("test_resnet").eval().requires_grad_(False)
        network.fc.weight.normal_()
    example = torch.zeros(2, 3, 224, 224)
    rows = torch.export.Dim("rows", min=1, max=4096)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: rows},)), folder / "net.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are deprecated; their files are still about
        torch.jit.trace(network, example).save(str(folder / "net.ts"))
        torch.onnx.export(
            network, (example,), str(folder / "net.onnx"), dynamo=False,
            input_names=["images"], dynamic_axes={"images": {0: "n"}},
        )  # fmt: skip
    return network, folder


INCEPTION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("reference", "figures"),
    [
        ("timm:vit_base_patch16_224.augreg_in21k_ft_in1k", INCEPTION),
        ("torchvision:resnet50/IMAGENET1K_V2", IMAGENET),
        ("mine.yaml", OWN),
    ],
)
def test_each_of_the_three_ways_normalises_the_images_of_a_bare_file(
    bare, tmp_path, monkeypatch, name, reference, figures
):
    network, folder = bare
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("mean: [0.1, 0.2, 0.3]\nstd: [0.4, 0.5, 0.6]\nsize: 224\n")
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    mean, std = (torch.tensor(each)[:, None, None] for each in figures)

    classifier = load_model(str(folder / name), preprocess=reference)

    with torch.no_grad():
        expected = network((images - mean) / std)
        assert torch.allclose(classifier.logits(images), expected, atol=1e-5 * float(expected.abs().max()))
    assert classifier.card.preprocess.source == reference


@pytest.mark.parametrize("name", FILES)
def test_a_bare_file_without_any_is_refused_with_all_three(bare, name):
    with pytest.raises(InvalidModel, match="nothing says how images are normalised") as refusal:
        load_model(str(bare[1] / name))

    for way in ("--preprocess timm:NAME", "--preprocess torchvision:NAME/WEIGHTS", "--preprocess FILE.yaml"):
        assert way in refusal.value.remedy


def test_only_ways_that_fit_the_file_are_offered(bare):
    with pytest.raises(InvalidModel) as of_onnx:
        load_model(str(bare[1] / "net.onnx"))
    with pytest.raises(InvalidModel) as of_script:
        load_model(str(bare[1] / "net.ts"))

    assert "`mean` and `std` in the metadata" in of_onnx.value.remedy
    assert "metadata" not in of_script.value.remedy
    assert "py: file" not in of_onnx.value.remedy + of_script.value.remedy


def test_preprocessing_is_read_before_the_network(tmp_path):
    (tmp_path / "broken.pt2").write_bytes(b"no program")

    with pytest.raises(InvalidModel, match=r"no file `nowhere\.yaml`"):
        load_model(str(tmp_path / "broken.pt2"), preprocess="nowhere.yaml")


@pytest.mark.parametrize(
    ("reference", "problem", "remedy"),
    [
        ("timm:resnt50", "timm knows no model `resnt50`", "resnet50"),
        ("torchvision:resnt50", "no classifier `resnt50`", "torchvision:resnet50"),
        ("torchvision:resnet50/IMAGENET1K_V3", "no weights `IMAGENET1K_V3`", "torchvision:resnet50/IMAGENET1K_V"),
        ("min.yaml", "there is no file", "--preprocess mine.yaml"),
        ("tim:resnet50", "there is no file", "--preprocess timm:resnet50"),
        ("torchvison:resnet50", "there is no file", "--preprocess torchvision:resnet50"),
        ("resnet50.a1_in1k", "there is no file", "--preprocess timm:resnet50.a1_in1k"),
        ("else", "there is no file", "--preprocess FILE.yaml"),
    ],
)
def test_a_misspelt_way_gets_the_nearest(bare, tmp_path, monkeypatch, reference, problem, remedy):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("mean: [0.5]\nstd: [0.5]\n")

    with pytest.raises(InvalidModel, match=problem) as refusal:
        load_model(str(bare[1] / "net.ts"), preprocess=reference)

    assert remedy in refusal.value.remedy


def test_figures_of_pixels_up_to_255_are_told_with_those_of_pixels_up_to_1(bare, tmp_path):
    path = tmp_path / "bytes.yaml"
    path.write_text("mean: [123.675, 116.28, 103.53]\nstd: [58.395, 57.12, 57.375]\n")

    with pytest.raises(InvalidModel, match=r"pixels lie in \[0, 1\]") as refusal:
        load_model(str(bare[1] / "net.ts"), preprocess=str(path))

    assert refusal.value.remedy == "mean: [0.485, 0.456, 0.406]"
