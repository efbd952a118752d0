"""ONNX graphs whose end, whose order of axes or whose precision is easily mistaken for another."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from scipy.special import log_softmax, softmax

from repaudit.errors import InvalidModel
from repaudit.public import scan
from repaudit.sources import load_model

CLASSES, WIDTH, SIDE = 6, 16, 8
IMAGE = 3 * SIDE * SIDE
NODE = helper.make_node
FLAT = [NODE("Flatten", ["images"], ["flat"]), NODE("MatMul", ["flat", "first"], ["hidden"])]
BODY = [*FLAT, NODE("Relu", ["hidden"], ["feature"])]
LINEAR = [*BODY, NODE("Gemm", ["feature", "head", "bias"], ["scores"], name="classify")]


def numbers(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


WEIGHTS = {
    "first": numbers(IMAGE, WIDTH, scale=0.2),
    "head": numbers(WIDTH, CLASSES, seed=1),
    "bias": numbers(CLASSES, seed=2),
}
IMAGES = np.random.default_rng(3).random((24, 3, SIDE, SIDE)).astype(np.float32)


def features(images=IMAGES):
    return np.maximum(images.reshape(len(images), -1).astype(np.float64) @ WEIGHTS["first"], 0)


def scores(images=IMAGES):
    return features(images) @ WEIGHTS["head"] + WEIGHTS["bias"]


@pytest.fixture
def opened(tmp_path):
    """Opens a graph of nodes and weights, whose input is `images` and whose output is `logits`."""

    def make(nodes, weights=None, shape=("n", 3, SIDE, SIDE), opset=17, kind=TensorProto.FLOAT, given="", size=SIDE):
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("images", kind, list(shape))],
            [helper.make_empty_tensor_value_info("logits")],
            [
                numpy_helper.from_array(np.asarray(value), name)
                for name, value in {**WEIGHTS, **(weights or {})}.items()
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.save(model, str(tmp_path / "small.onnx"))
        (tmp_path / "p.yaml").write_text(f"mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: {size}\n{given}")
        return load_model(str(tmp_path / "small.onnx"), preprocess=str(tmp_path / "p.yaml"))

    return make


def asked(classifier, images=IMAGES):
    with torch.no_grad():
        return classifier.forward(torch.from_numpy(images))


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("after", [[], ["Identity"], ["Flatten", "Cast"]])
def test_what_goes_into_a_closing_softmax_is_taken_where_only_its_shape_changes_behind_it(opened, kind, after):
    names = ["shares", *(f"shares {number}" for number in range(len(after)))]
    names[-1] = "logits"
    end = [
        NODE(operator, [one], [other], **({"to": TensorProto.FLOAT} if operator == "Cast" else {}))
        for operator, one, other in zip(after, names, names[1:], strict=False)
    ]
    classifier = opened([*LINEAR, NODE(kind, ["scores"], [names[0]], axis=1), *end])

    np.testing.assert_allclose(asked(classifier).logits.numpy(), scores(), rtol=1e-4, atol=1e-4)
    assert classifier.card.head.modules == ("classify",)
    assert "the graph ends in a softmax: its input is taken as the logits" in classifier.card.notes


def test_classes_that_change_places_behind_a_softmax_keep_the_places_of_the_file(opened):
    """Six classes as a 2×3 table, whose rows and columns change places."""
    nodes = [
        *LINEAR,
        NODE("Softmax", ["scores"], ["shares"], axis=1),
        NODE("Reshape", ["shares", "table"], ["tabled"]),
        NODE("Transpose", ["tabled"], ["turned"], perm=[0, 2, 1]),
        NODE("Reshape", ["turned", "row"], ["logits"]),
    ]
    classifier = opened(nodes, {"table": [-1, 2, 3], "row": [-1, CLASSES]})
    wanted = softmax(scores(), axis=1).reshape(-1, 2, 3).transpose(0, 2, 1).reshape(-1, CLASSES)

    np.testing.assert_allclose(softmax(asked(classifier).logits.numpy(), axis=1), wanted, rtol=1e-3, atol=1e-6)
    assert classifier.split is None


def test_a_softmax_over_the_images_of_a_batch_is_none_over_classes(opened):
    classifier = opened([*LINEAR, NODE("Softmax", ["scores"], ["logits"], axis=0)])

    np.testing.assert_allclose(asked(classifier).logits.numpy(), softmax(scores(), axis=0), rtol=1e-4, atol=1e-6)


def test_a_softmax_over_an_axis_of_length_one_answers_ones_and_that_is_what_is_audited(opened):
    nodes = [
        *LINEAR,
        NODE("Reshape", ["scores", "planar"], ["planes"]),
        NODE("Softmax", ["planes"], ["shares"], axis=-1),
        NODE("Reshape", ["shares", "row"], ["logits"]),
    ]
    classifier = opened(nodes, {"planar": [-1, CLASSES, 1, 1], "row": [-1, CLASSES]})

    np.testing.assert_array_equal(asked(classifier).logits.numpy(), np.ones((len(IMAGES), CLASSES)))
    assert classifier.split is None
    assert "not the logits of its classes" in classifier.card.head.reason


def test_a_softmax_of_a_softmax_is_uncovered_once(opened, tmp_path, monkeypatch):
    """Confidences and the likelihood are those of the file."""
    nodes = [*LINEAR, NODE("Softmax", ["scores"], ["shares"]), NODE("Softmax", ["shares"], ["logits"])]
    classifier = opened(nodes)
    np.testing.assert_allclose(asked(classifier).logits.numpy(), softmax(scores(), axis=1), rtol=1e-4, atol=1e-6)

    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(4)
    held, labels = rng.integers(0, 256, (60, SIDE, SIDE, 3), dtype=np.uint8), rng.integers(0, CLASSES, 60)
    np.savez(tmp_path / "d.npz", images=held, labels=labels)
    report = scan(
        str(tmp_path / "small.onnx"), f"npz:{tmp_path / 'd.npz'}", preprocess=str(tmp_path / "p.yaml"),
        audits=["calibration"],
    )  # fmt: skip
    shares = log_softmax(softmax(scores(held.transpose(0, 3, 1, 2) / 255), axis=1), axis=1)

    assert report.metrics["calibration.nll"].value == pytest.approx(-shares[np.arange(60), labels].mean(), rel=1e-4)


def last_first():
    """A convolution behind a transposition of images whose channels come last."""
    return [
        NODE("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        NODE("Conv", ["planes", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        NODE("GlobalAveragePool", ["maps"], ["pooled"]),
        NODE("Flatten", ["pooled"], ["logits"]),
    ]


@pytest.mark.parametrize(
    ("shape", "size"),
    [(("n", "h", "w", "c"), 8), (("n", "h", "w", 3), 8), (("n", 3, 3, 3), 3), (("n", 4, 4, 3), 4),
     (("n", 1, 8, 3), [1, 8])],
)  # fmt: skip
@pytest.mark.parametrize("given", ["", "layout: nhwc\n"])
def test_a_graph_that_moves_the_channels_to_the_front_takes_them_last(opened, shape, size, given):
    kernel = numbers(CLASSES, 3, 3, 3)
    height, width = size if isinstance(size, list) else (size, size)
    images = np.random.default_rng(5).random((5, 3, height, width)).astype(np.float32)
    classifier = opened(last_first(), {"kernel": kernel}, shape=shape, size=size, given=given)
    wanted = torch.nn.functional.conv2d(torch.from_numpy(images), torch.from_numpy(kernel), padding=1).mean((2, 3))

    assert classifier.card.preprocess.layout == "nhwc"
    np.testing.assert_allclose(asked(classifier, images).logits.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_a_layout_that_contradicts_the_first_layer_is_an_error_that_says_so(opened):
    with pytest.raises(InvalidModel, match=r"says `layout: nchw`, but .* takes images as nhwc") as refused:
        opened(last_first(), {"kernel": numbers(6, 3, 3, 3)}, shape=("n", "h", "w", "c"), given="layout: nchw\n")

    assert "layout: nhwc" in refused.value.remedy


FLAT_GRAPH = [NODE("Flatten", ["images"], ["flat"]), NODE("Gemm", ["flat", "all"], ["logits"])]
ALL = {"all": numbers(IMAGE, CLASSES)}


@pytest.mark.parametrize(("shape", "size"), [(("n", "a", "b", "c"), 8), (("n", 3, 3, 3), 3)])
def test_where_nothing_tells_the_order_of_the_axes_it_is_asked_for(opened, shape, size):
    with pytest.raises(InvalidModel, match="channels may come first or last") as refused:
        opened(FLAT_GRAPH, {"all": numbers(3 * size * size, CLASSES)}, shape=shape, size=size)

    assert "layout: nchw" in refused.value.remedy
    assert "layout: nhwc" in refused.value.remedy


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("where", ["yaml", "metadata"])
def test_the_order_that_a_person_or_the_file_names_is_the_one_that_is_used(opened, tmp_path, layout, where):
    classifier = opened(FLAT_GRAPH, ALL, shape=("n", "a", "b", "c"), given=f"layout: {layout}\n")
    if where == "metadata":
        model = onnx.load(str(tmp_path / "small.onnx"))
        helper.set_model_props(model, {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", "size": "8", "layout": layout})
        onnx.save(model, str(tmp_path / "small.onnx"))
        classifier = load_model(str(tmp_path / "small.onnx"))
    as_taken = IMAGES if layout == "nchw" else IMAGES.transpose(0, 2, 3, 1)

    assert classifier.card.preprocess.layout == layout
    wanted = as_taken.reshape(len(IMAGES), -1) @ ALL["all"]
    np.testing.assert_allclose(asked(classifier).logits.numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("end", "shape"),
    [
        ([NODE("Gemm", ["feature", "head", "added"], ["logits"])], (4, CLASSES)),
        ([NODE("Gemm", ["feature", "head", "added"], ["logits"])], (CLASSES, 1)),
        ([NODE("MatMul", ["feature", "head"], ["made"]), NODE("Add", ["made", "added"], ["logits"])], (4, CLASSES)),
    ],
)
def test_a_bias_that_differs_between_the_images_of_a_batch_is_no_bias_of_a_head(opened, end, shape):
    batch = shape[0]
    own = numbers(*shape, seed=7)
    classifier = opened([*BODY, *end], {"added": own}, shape=(batch, 3, SIDE, SIDE))
    wanted = features(IMAGES[:batch]) @ WEIGHTS["head"] + own

    assert classifier.split is None
    assert "differs between images or positions" in classifier.card.head.reason
    np.testing.assert_allclose(asked(classifier, IMAGES[:batch]).logits.numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_a_bias_that_differs_between_positions_is_none_either(opened):
    nodes = [
        NODE("Conv", ["images", "kernel"], ["maps"]),
        NODE("Add", ["maps", "added"], ["shifted"]),
        NODE("GlobalAveragePool", ["shifted"], ["pooled"]),
        NODE("Flatten", ["pooled"], ["logits"]),
    ]
    kernel, own = numbers(CLASSES, 3, 1, 1), numbers(1, CLASSES, SIDE, SIDE, seed=8)
    classifier = opened(nodes, {"kernel": kernel, "added": own})
    wanted = IMAGES.mean((2, 3)) @ kernel[:, :, 0, 0].T + own.mean((0, 2, 3))

    assert classifier.split is None
    assert "differs between images or positions" in classifier.card.head.reason
    np.testing.assert_allclose(asked(classifier).logits.numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("positions", [8, 16])
def test_of_a_head_over_positions_that_are_averaged_the_feature_is_their_mean(opened, positions):
    """As many positions as numbers in a position, and other than that."""
    each = IMAGE // positions
    nodes = [
        NODE("Reshape", ["images", "tokens"], ["cut"]),
        NODE("MatMul", ["cut", "first"], ["hidden"]),
        NODE("Relu", ["hidden"], ["feature"]),
        NODE("MatMul", ["feature", "head"], ["product"], name="classify"),
        NODE("Add", ["product", "bias"], ["shifted"]),
        NODE("ReduceMean", ["shifted"], ["logits"], axes=[1], keepdims=0),
    ]
    first = numbers(each, WIDTH, seed=9)
    classifier = opened(nodes, {"first": first, "tokens": [-1, positions, each]})
    wanted = np.maximum(IMAGES.reshape(len(IMAGES), positions, each).astype(np.float64) @ first, 0).mean(1)

    assert classifier.card.head.modules == ("classify",)
    np.testing.assert_allclose(asked(classifier).features.numpy(), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(classifier.split.weight.numpy(), WEIGHTS["head"].T)


@pytest.mark.parametrize("outside", [TensorProto.FLOAT16, TensorProto.FLOAT])
def test_a_head_of_half_precision_is_proved_as_far_as_it_rounds_and_the_notes_say_so(opened, outside):
    half = {name: value.astype(np.float16) for name, value in WEIGHTS.items()}
    into = [NODE("Cast", ["images"], ["halves"], to=TensorProto.FLOAT16)]
    nodes = [*into, NODE("Flatten", ["halves"], ["flat"]), *BODY[1:]]
    nodes += [NODE("Gemm", ["feature", "head", "bias"], ["scores"], name="classify")]
    classifier = opened([*nodes, NODE("Cast", ["scores"], ["logits"], to=outside)], half, kind=outside)

    assert classifier.card.head.modules == ("classify",)
    assert classifier.card.head.proof_error < 2e-3
    assert any("half precision" in note and "0.002 rather than 0.0001" in note for note in classifier.card.notes)
    found = asked(classifier)
    assert found.features.dtype == torch.float32
    np.testing.assert_allclose(found.features.numpy(), features(), rtol=5e-3, atol=5e-3)
