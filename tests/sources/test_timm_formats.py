"""timm networks as ONNX, exported program, TorchScript and checkpoint: one network, whatever the file."""

import warnings

import pytest
import timm
import torch
from safetensors.torch import save_file

from repaudit.classifier import Capability
from repaudit.sources import load_model

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("test_resnet", "test_efficientnet", "test_maxvit")]
FAMILIES = ["test_vit", "test_convnext", *SLOW]
FORMATS = ("net.onnx", "net.pt2", "net.ts", "net.safetensors")
SIDE = 64


def made(name):
    """A network with random weights, large enough for logits to differ between images."""
    arguments = {"img_size": SIDE} if "vit" in name else {}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = timm.create_model(name, num_classes=11, **arguments).eval()
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    return network.requires_grad_(False), arguments


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request, tmp_path_factory):
    """A network, the folder with its files, and its arguments."""
    folder = tmp_path_factory.mktemp(request.param)
    network, arguments = made(request.param)
    example = torch.zeros(2, 3, SIDE, SIDE)
    save_file(network.state_dict(), folder / "net.safetensors")
    (folder / "p.yaml").write_text(f"mean: [0.485, 0.456, 0.406]\nstd: [0.229, 0.224, 0.225]\nsize: {SIDE}\n")
    rows = torch.export.Dim("rows", min=1, max=4096)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: rows},)), folder / "net.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are deprecated; their files are still about
        torch.jit.trace(network, example).save(str(folder / "net.ts"))
        torch.onnx.export(
            network, (example,), str(folder / "net.onnx"), dynamo=False,
            input_names=["images"], dynamic_axes={"images": {0: "n"}},
        )  # fmt: skip
    return request.param, network, folder, arguments


@pytest.fixture
def images():
    return torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(4))


def expected_of(network, images):
    """Logits, features and head of the torch network, by timm's own functions."""
    mean, std = (torch.tensor(figures)[:, None, None] for figures in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    normalised = (images - mean) / std
    features = network.forward_head(network.forward_features(normalised), pre_logits=True)
    return network(normalised), features, network.get_classifier()


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_gives_the_logits_features_head_and_gradients_of_its_network(exported, images, name):
    family, network, folder, arguments = exported
    checkpoint = {"arch": family, "arguments": {"num_classes": 11, **arguments}} if name == "net.safetensors" else {}
    logits, features, head = expected_of(network, images)
    moving = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(expected_of(network, moving)[0][:, 3].sum(), moving)

    classifier = load_model(str(folder / name), preprocess=str(folder / "p.yaml"), **checkpoint)
    with torch.no_grad():
        found = classifier.forward(images)
    asked = images.clone().requires_grad_()
    (found_slope,) = torch.autograd.grad(classifier.logits(asked)[:, 3].sum(), asked)

    assert classifier.capabilities == frozenset(Capability)
    assert torch.allclose(found.logits, logits, rtol=1e-5, atol=1e-5 * float(logits.abs().max()))
    assert torch.allclose(found.features, features, rtol=1e-5, atol=1e-5 * float(features.abs().max()))
    assert torch.equal(classifier.split.weight, head.weight)
    assert torch.equal(classifier.split.bias, head.bias)
    assert float(torch.linalg.vector_norm(found_slope - slope)) < 1e-4 * float(torch.linalg.vector_norm(slope))
