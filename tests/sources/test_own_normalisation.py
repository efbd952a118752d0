"""A program that normalises its input itself is found out before its images are normalised a second time."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from repaudit.public import scan
from repaudit.sources import load_model
from repaudit.sources._first_steps import steps_of_onnx
from repaudit.sources._own_normalisation import Operation, Step, composed

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
ADD, SUB, MUL, DIV = Operation.ADD, Operation.SUBTRACT, Operation.MULTIPLY, Operation.DIVIDE


class Normalising(nn.Module):
    """A small network behind an affine step of its own."""

    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, images):
        images = (images - self.mean.view(1, 3, 1, 1)) / self.std.view(1, 3, 1, 1)
        return self.head(torch.relu(self.conv(images)).mean((2, 3)))


class InPlace(Normalising):
    def forward(self, images):
        images = images.clone().mul_(2.0).sub_(1.0)
        return self.head(torch.relu(self.conv(images)).mean((2, 3)))


def saved(network, path):
    network, example = network.eval(), torch.rand(2, 3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters are deprecated; their files are still about
        match path.suffix:
            case ".onnx":
                torch.onnx.export(network, (example,), str(path), dynamo=False, dynamic_axes={"images": {0: "n"}})
            case ".pt2":
                torch.export.save(torch.export.export(network, (example,)), path)
            case ".ts":
                torch.jit.script(network).save(str(path))
            case _:
                torch.jit.trace(network, example).save(str(path))
    return str(path)


@pytest.fixture
def loaded(tmp_path):
    """The classifier of a network exported to a file, with a given preprocessing."""

    def make(network, name, mean, std):
        (tmp_path / "mine.yaml").write_text(f"mean: {list(mean)}\nstd: {list(std)}\nsize: 16\n")
        return load_model(saved(network, tmp_path / name), preprocess=str(tmp_path / "mine.yaml"))

    return make


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2", "net.ts", "traced.pt"])
@pytest.mark.parametrize("kind", [Normalising, InPlace])
def test_a_second_normalisation_is_warned_of_with_what_to_give_instead(loaded, kind, name):
    classifier = loaded(kind(*IMAGENET), name, *IMAGENET)

    (notice,) = classifier.card.notices
    assert notice.code == "normalised-twice"
    own = "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225" if kind is Normalising else "mean 0.5, std 0.5"
    assert f"({own})" in notice.message
    assert "mine.yaml" in notice.message
    assert notice.message.endswith("mean: [0, 0, 0] and std: [1, 1, 1]")


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2", "net.ts", "traced.pt"])
def test_what_the_warning_tells_to_give_silences_it(loaded, name):
    assert loaded(Normalising(*IMAGENET), name, [0, 0, 0], [1, 1, 1]).card.notices == ()


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2", "net.ts"])
def test_a_program_of_pixels_from_0_to_255_is_told_from_one_of_pixels_from_0_to_1(loaded, name):
    network = Normalising([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])

    (notice,) = loaded(network, name, [0, 0, 0], [1, 1, 1]).card.notices

    assert "normalise pixels from 0 to 255" in notice.message
    assert notice.message.endswith("mean: [0, 0, 0] and std: [0.003922, 0.003922, 0.003922]")
    assert loaded(network, name, [0, 0, 0], [0.003922] * 3).card.notices == ()


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2", "net.ts"])
def test_a_program_that_does_half_of_the_normalisation_is_given_the_other_half_in_silence(loaded, name):
    divides = Normalising([0.0, 0.0, 0.0], IMAGENET[1])

    assert loaded(divides, name, IMAGENET[0], [1, 1, 1]).card.notices == ()


@pytest.mark.parametrize(
    ("steps", "mean", "std"),
    [
        ([(SUB, 0.5, False), (DIV, 0.25, False)], 0.5, 0.25),
        ([(DIV, 255, False), (SUB, 0.5, False), (DIV, 0.5, False)], 127.5, 127.5),  # (x/255 - .5)/.5
        ([(MUL, 2, False), (ADD, -1, False)], 0.5, 0.5),  # 2x - 1
        ([(MUL, 4, True), (SUB, 1, False)], 0.25, 0.25),
    ],
)
def test_steps_amount_to_one_mean_and_one_deviation(steps, mean, std):
    found = composed(iter(Step(operation, np.array(constant), first) for operation, constant, first in steps))

    assert found.mean == pytest.approx((mean,))
    assert found.std == pytest.approx((std,))


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [(MUL, 1.0, False)],
        [(SUB, 1.0, True)],  # 1 - x: an inversion
        [(MUL, 0.458, False), (ADD, -0.03, False)],  # torchvision's Inception, of images that are normalised already
        [(MUL, 0.0, False)],
        [(SUB, -7.0, False)],
    ],
)
def test_what_is_no_normalisation_of_pixels_raises_no_alarm(steps):
    assert composed(iter(Step(operation, np.array(constant), first) for operation, constant, first in steps)) is None


def test_the_warning_stands_in_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    np.savez("images.npz", images=rng.integers(0, 256, (40, 16, 16, 3), dtype=np.uint8), labels=np.arange(40) % 4)
    (tmp_path / "mine.yaml").write_text(f"mean: {IMAGENET[0]}\nstd: {IMAGENET[1]}\nsize: 16\n")
    path = saved(Normalising(*IMAGENET), tmp_path / "net.onnx")

    report = scan(path, "npz:images.npz", audits=["accuracy"], preprocess="mine.yaml")

    assert "normalised-twice" in [warning.code for warning in report.warnings]


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("cifar10/resnet_4b.onnx", 32),
        ("cifar10/squeezenet_nhwc_softmax.onnx", 32),
        ("imagenet_like/mobilenetv1_025_128.onnx", 128),
    ],
)
def test_a_real_file_without_normalisation_raises_no_alarm(assets, tmp_path, name, side):
    (tmp_path / "p.yaml").write_text(f"mean: {IMAGENET[0]}\nstd: {IMAGENET[1]}\nsize: {side}\n")

    assert load_model(str(assets / name), preprocess=str(tmp_path / "p.yaml")).card.notices == ()


def test_a_normalisation_in_a_real_file_raises_the_alarm(assets, tmp_path):
    """The same real file behind a subtraction and a division, with its channels last."""
    model = onnx.load(str(assets / "cifar10" / "squeezenet_nhwc_softmax.onnx"))
    entry = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["divided" if each == entry else each for each in node.input]
    for at, (operator, one, other, given) in enumerate(
        [("Sub", entry, "shifted", IMAGENET[0]), ("Div", "shifted", "divided", IMAGENET[1])]
    ):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(given), f"own {operator}"))
        model.graph.node.insert(at, onnx.helper.make_node(operator, [one, f"own {operator}"], [other]))
    onnx.save(model, str(tmp_path / "own.onnx"))
    (tmp_path / "p.yaml").write_text(f"mean: {IMAGENET[0]}\nstd: {IMAGENET[1]}\n")

    (notice,) = load_model(str(tmp_path / "own.onnx"), preprocess=str(tmp_path / "p.yaml")).card.notices

    assert "std 0.229, 0.224, 0.225" in notice.message


@pytest.mark.parametrize("lead", [["Identity"], ["Identity", "Identity", "Reshape"], ["Cast"]])
def test_a_constant_that_mean_and_deviation_share_is_followed_to_where_it_is_stored(tmp_path, lead):
    """(x - 1/2) / 1/2: exporters store equal constants once."""
    names = ["half", *(f"half {number}" for number in range(len(lead)))]
    nodes = [
        onnx.helper.make_node(
            operator,
            [one, "as it is"] if operator == "Reshape" else [one],
            [other],
            **({"to": onnx.TensorProto.FLOAT} if operator == "Cast" else {}),
        )
        for operator, one, other in zip(lead, names, names[1:], strict=False)
    ]
    nodes += [
        onnx.helper.make_node("Sub", ["images", "half"], ["shifted"]),
        onnx.helper.make_node("Div", ["shifted", names[-1]], ["divided"]),
        onnx.helper.make_node("GlobalAveragePool", ["divided"], ["pooled"]),
        onnx.helper.make_node("Flatten", ["pooled"], ["logits"]),
    ]
    stored = {"half": np.full((1, 3, 1, 1), 0.5, np.float32), "as it is": np.array([1, 3, 1, 1])}
    graph = onnx.helper.make_graph(
        nodes,
        "shared",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "shared.onnx"))
    (tmp_path / "p.yaml").write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\nsize: 8\n")

    (notice,) = load_model(str(tmp_path / "shared.onnx"), preprocess=str(tmp_path / "p.yaml")).card.notices

    assert notice.code == "normalised-twice"
    assert "(mean 0.5, std 0.5)" in notice.message


@pytest.mark.parametrize("attribute", ["value_float", "value_floats"])
def test_constants_that_are_no_tensors_are_read_too(attribute):
    given = 0.25 if attribute == "value_float" else [0.25, 0.25, 0.25]
    nodes = [
        onnx.helper.make_node("Constant", [], ["quarter"], **{attribute: given}),
        onnx.helper.make_node("Div", ["images", "quarter"], ["divided"]),
        onnx.helper.make_node("GlobalAveragePool", ["divided"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes, "one", [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 8, 8])], []
    )

    found = composed(steps_of_onnx(onnx.helper.make_model(graph), "images", Path()))

    assert found.std == pytest.approx((0.25,) * len(found.std))
