"""Graphs in newer operators than the converter to torch knows, and graphs that compute shapes, get their gradients."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

from repaudit.classifier import Capability
from repaudit.sources import load_model
from repaudit.sources._onnx_engines import twin_of

SIDE, CLASSES = 7, 4
NEWEST = 20
"""What torch exports today; the converter knows little of it."""


def model_of(nodes, stored=()):
    """A graph from `images` to `logits`: `nodes` between them, then a mean over positions and a linear layer."""
    rng = np.random.default_rng(0)
    head = rng.normal(0, 1, (3, CLASSES)).astype(np.float32)
    ending = [
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["feature"]),
        helper.make_node("Gemm", ["feature", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        [*nodes, *ending],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in {"head": head, **dict(stored)}.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", NEWEST)], ir_version=9)


@pytest.fixture
def images():
    return torch.randn(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)).requires_grad_()


def gradient(logits, images):
    (found,) = torch.autograd.grad(logits.square().sum(), images)
    return found


def head_of(model):
    return torch.from_numpy(numpy_helper.to_array(model.graph.initializer[0]).copy())


@pytest.mark.parametrize(
    ("operator", "attributes", "function"),
    [
        ("Gelu", {}, F.gelu),
        ("Gelu", {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh")),
        ("Mish", {}, F.mish),
    ],
)
def test_an_activation_younger_than_the_converter_has_torchs_values_and_slopes(operator, attributes, function, images):
    model = model_of([helper.make_node(operator, ["images"], ["maps"], **attributes)])
    expected = function(images).mean((2, 3)) @ head_of(model)

    twin = twin_of(model)

    assert twin.reason is None
    found = twin.module(images)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(gradient(found, images), gradient(expected, images), atol=1e-5)


def test_axes_that_became_an_input_and_parts_that_became_an_attribute_are_understood(images):
    model = model_of(
        [
            helper.make_node("Split", ["images"], ["red", "green", "blue"], axis=1, num_outputs=3),
            helper.make_node("ReduceMax", ["red", "axis"], ["brightest"], keepdims=1),
            helper.make_node("Mul", ["images", "brightest"], ["scaled"]),
            helper.make_node("Add", ["scaled", "blue"], ["maps"]),
        ],
        {"axis": np.array([3])},
    )
    expected = (images * images[:, :1].amax(3, keepdim=True) + images[:, 2:]).mean((2, 3)) @ head_of(model)

    found = twin_of(model).module(images)

    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(gradient(found, images), gradient(expected, images), atol=1e-5)


def padding_by_shape():
    """`same` padding as exporters write it: from the shape of the images, through floats and a clip."""
    kernel = np.random.default_rng(1).normal(0, 1, (3, 3, 3, 3)).astype(np.float32)
    stored = {
        "kernel": kernel, "sides_at": np.array([2, 3]), "two": np.float32(2), "one": np.float32(1),
        "kernel_side": np.float32(3), "front": np.zeros(2, np.int64), "zero": np.int64(0),
    }  # fmt: skip
    # rows needed = (ceil(side / 2) - 1) * 2 + 3 - side, all of it at the end
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "sides_at"], ["sides"]),
        helper.make_node("Cast", ["sides"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["real", "two"], ["halves"]),
        helper.make_node("Ceil", ["halves"], ["strides"]),
        helper.make_node("Sub", ["strides", "one"], ["steps"]),
        helper.make_node("Mul", ["steps", "two"], ["covered"]),
        helper.make_node("Add", ["covered", "kernel_side"], ["reach"]),
        helper.make_node("Sub", ["reach", "real"], ["lacking"]),
        helper.make_node("Cast", ["lacking"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Clip", ["whole", "zero"], ["padding"]),
        helper.make_node("Concat", ["front", "front", "front", "padding"], ["pads"], axis=0),
        helper.make_node("Pad", ["images", "pads"], ["padded"]),
        helper.make_node("Conv", ["padded", "kernel"], ["maps"], strides=[2, 2]),
    ]
    return nodes, stored


@pytest.mark.parametrize("rows", [1, 5])
def test_padding_computed_from_the_size_of_the_images_becomes_fixed_padding(images, rows):
    nodes, stored = padding_by_shape()
    model = model_of(nodes, stored)
    some = images[:rows]
    # 7 pixels at stride 2: 4 positions reach 9, so two rows and two columns are lacking
    maps = F.conv2d(F.pad(some, (0, 2, 0, 2)), torch.from_numpy(stored["kernel"]), stride=2)
    expected = maps.mean((2, 3)) @ head_of(model)

    twin = twin_of(model)

    assert twin.reason is None
    assert torch.allclose(twin.module(some), expected, atol=1e-5)


def test_what_follows_from_the_number_of_images_stays_open(images):
    """A reshape by (n, -1, 3, 7) with n read from the images, as transformers are exported."""
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["images", "wanted"], ["turned"]),
        helper.make_node("Transpose", ["turned"], ["colours_first"], perm=[0, 2, 1, 3]),
        helper.make_node("Gelu", ["colours_first"], ["maps"]),
    ]
    model = model_of(nodes, {"first": np.array([0]), "rest": np.array([-1, 3, SIDE])})
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": images.detach().numpy()})[0]

    twin = twin_of(model)

    assert torch.allclose(twin.module(images), torch.from_numpy(wanted), atol=1e-5)
    assert twin.module(images[:3]).shape == (3, CLASSES)


def test_a_graph_of_todays_exporter_is_attacked_along_its_gradients(tmp_path):
    nodes, stored = padding_by_shape()
    onnx.save(model_of(nodes, stored), str(tmp_path / "today.onnx"))
    (tmp_path / "p.yaml").write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\n")

    classifier = load_model(str(tmp_path / "today.onnx"), preprocess=str(tmp_path / "p.yaml"))

    assert classifier.capabilities == frozenset(Capability)
