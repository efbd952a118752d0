"""ONNX files as they are found: grey, quantised, rounding, with weights far beside them, in new operators."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from repaudit.classifier import Capability
from repaudit.cli.app import main
from repaudit.errors import InvalidModel
from repaudit.sources import load_model
from repaudit.sources._onnx_engines import cut
from repaudit.sources._onnx_file import read_onnx
from repaudit.sources._onnx_graph import find_end
from repaudit.sources._onnx_session import session

_spec = importlib.util.spec_from_file_location("onnx_graphs", Path(__file__).with_name("onnx_graphs.py"))
onnx_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(onnx_graphs)
Recipe, CLASSES, WIDTH = onnx_graphs.Recipe, onnx_graphs.CLASSES, onnx_graphs.WIDTH

NEWEST_RELEASED = 26
"""The newest opset that this onnxruntime promises to run; onnx knows later drafts."""


@pytest.fixture
def colour(tmp_path):
    (tmp_path / "p.yaml").write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.25, 0.25, 0.25]\n")
    return str(tmp_path / "p.yaml")


@pytest.fixture
def grey(tmp_path):
    (tmp_path / "g.yaml").write_text("mean: [0.5]\nstd: [0.25]\nsize: [8, 8]\n")
    return str(tmp_path / "g.yaml")


@pytest.fixture
def images():
    return torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def saved(model, path):
    onnx.save(model, str(path))
    return str(path)


def normalised(images):
    return (images.numpy().astype(np.float64) - 0.5) / 0.25


def why_no_gradients(classifier):
    (why,) = [note for note in classifier.card.notes if note.startswith("no gradients: ")]
    return why


@pytest.mark.parametrize("open_channels", [False, True])
@pytest.mark.parametrize("nhwc", [False, True])
def test_grey_graphs_take_one_channel_in_either_layout_and_give_gradients(tmp_path, grey, nhwc, open_channels):
    recipe = Recipe(channels=1, nhwc=nhwc)
    model = recipe.model()
    if open_channels and not nhwc:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    classifier = load_model(saved(model, tmp_path / "grey.onnx"), preprocess=grey)
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    np.testing.assert_allclose(
        classifier.logits(images).numpy(), recipe.logits(normalised(images)), rtol=1e-4, atol=1e-4
    )
    assert classifier.capabilities == set(Capability)


def quantized(path, kind):
    """The recipe's graph as onnxruntime quantises it, calibrated on noise of the range of pixels."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

    class Noise(CalibrationDataReader):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.batches = iter([{"images": rng.uniform(-2, 2, (64, 3, 8, 8)).astype(np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.batches, None)

    source, target = Recipe().save(path.parent), str(path)
    match kind:
        case "dynamic":
            quantize_dynamic(source, target)
        case "operators":
            quantize_static(source, target, Noise(), quant_format=QuantFormat.QOperator)
        case "all":
            quantize_static(source, target, Noise(), quant_format=QuantFormat.QDQ, per_channel=True)
        case "all but the head":
            quantize_static(source, target, Noise(), quant_format=QuantFormat.QDQ, nodes_to_exclude=["classify"])
    return target


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "operator"), [("dynamic", "MatMulInteger"), ("operators", "QLinearConv"), ("all", "QuantizeLinear")]
)
def test_a_quantised_graph_answers_as_onnxruntime_runs_it_and_has_no_linear_head(
    tmp_path, colour, images, kind, operator
):
    path = quantized(tmp_path / "q.onnx", kind)
    assert operator in {node.op_type for node in onnx.load(path).graph.node}

    classifier = load_model(path, preprocess=colour)

    asked = normalised(images).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    calls = asked[:, None] if kind == "dynamic" else asked[None]
    wanted = np.concatenate([session.run(None, {"images": call})[0] for call in calls])
    assert np.mean(classifier.logits(images).numpy() == wanted) > 0.9  # 8-bit steps: rarely a value falls on an edge
    np.testing.assert_allclose(classifier.logits(images).numpy(), Recipe().logits(asked), atol=0.2)
    assert classifier.capabilities == set()
    assert classifier.card.head.kind == "none"
    assert "quantised" in classifier.card.head.reason
    assert "convert" in why_no_gradients(classifier)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", ["n", 3])
def test_a_dynamically_quantised_graph_answers_the_same_beside_any_neighbours(tmp_path, colour, images, batch):
    path = quantized(tmp_path / "q.onnx", "dynamic")
    model = onnx.load(path)
    dimension = model.graph.input[0].type.tensor_type.shape.dim[0]
    dimension.Clear()
    setattr(dimension, "dim_param" if batch == "n" else "dim_value", batch)
    model.graph.output[0].type.tensor_type.shape.dim[0].CopyFrom(dimension)
    classifier = load_model(saved(model, tmp_path / "q.onnx"), preprocess=colour)

    alone = torch.cat([classifier.logits(image[None]) for image in images])
    beside_white = classifier.logits(torch.cat([images, torch.ones(1, 3, 8, 8)]))[:-1]

    assert torch.equal(beside_white, alone)
    assert any("asked one image at a time" in note for note in classifier.card.notes)


def test_padding_of_a_graph_that_is_asked_image_by_image_is_asked_once(tmp_path, colour, images):
    classifier = load_model(saved(Recipe(batch=1).model(), tmp_path / "one.onnx"), preprocess=colour)
    running, calls = classifier.network._session, []

    class Counting:
        def run(self, names, fed):
            calls.append(len(next(iter(fed.values()))))
            return running.run(names, fed)

    classifier.network._session = Counting()
    together = torch.cat([images[:2], images[:1], images[2:3], images[:1]])

    answers = classifier.logits(together)

    np.testing.assert_allclose(answers.numpy(), Recipe().logits(normalised(together)), rtol=1e-4, atol=1e-4)
    assert calls == [1, 1, 1]


@pytest.mark.filterwarnings("ignore")
def test_a_float_head_on_a_quantised_network_is_found_and_proved(tmp_path, colour):
    card = load_model(quantized(tmp_path / "q.onnx", "all but the head"), preprocess=colour).card

    assert (card.head.kind, card.head.modules) == ("linear", ("classify",))
    assert card.head.proof_error < 1e-5


@pytest.mark.parametrize("axis", [0, 1])
def test_a_head_whose_weights_alone_are_eight_bits_is_linear(tmp_path, colour, axis):
    """Weights that are stored as integers with a scale a row and multiplied out: nothing of the images is rounded."""
    recipe = Recipe()
    model, head = recipe.model(), recipe.weights["head"]
    scale = (abs(head).max(axis=1 - axis) / 127).astype(np.float32)
    stored = np.round(head / np.expand_dims(scale, 1 - axis)).astype(np.int8)
    recipe.weights["head"] = stored * np.expand_dims(scale, 1 - axis)
    model.graph.initializer.remove(next(each for each in model.graph.initializer if each.name == "head"))
    for name, value in {"stored": stored, "scale": scale, "zero": np.zeros(len(scale), np.int8)}.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["head"], axis=axis))

    classifier = load_model(saved(model, tmp_path / "w.onnx"), preprocess=colour)

    assert classifier.card.head.kind == "linear"
    assert classifier.card.head.proof_error < 1e-5
    np.testing.assert_allclose(classifier.split.weight.numpy(), recipe.weights["head"], rtol=1e-6)


def stored_in_eight_bits(recipe):
    """The recipe's graph with integers and a scale a row for its weights; the recipe takes what they stand for."""
    model = recipe.model()
    for name in ("kernel", "head"):
        weight = recipe.weights[name]
        along = (-1, *[1] * (weight.ndim - 1))
        scale = (abs(weight).reshape(len(weight), -1).max(axis=1) / 127).astype(np.float32)
        stored = np.round(weight / scale.reshape(along)).astype(np.int8)
        recipe.weights[name] = stored * scale.reshape(along)
        model.graph.initializer.remove(next(each for each in model.graph.initializer if each.name == name))
        parts = {f"{name}_stored": stored, f"{name}_scale": scale, f"{name}_zero": np.zeros(len(scale), np.int8)}
        model.graph.initializer.extend(numpy_helper.from_array(value, part) for part, value in parts.items())
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", list(parts), [name], axis=0))
    return model


def test_a_graph_whose_weights_alone_are_eight_bits_has_the_gradients_of_what_they_stand_for(tmp_path, colour, images):
    recipe = Recipe()
    classifier = load_model(saved(stored_in_eight_bits(recipe), tmp_path / "w.onnx"), preprocess=colour)
    asked, step = images.clone().requires_grad_(), 1e-6
    direction = np.random.default_rng(2).normal(size=images.shape)

    (slope,) = torch.autograd.grad(classifier.logits(asked)[:, 0].sum(), asked)

    assert classifier.capabilities == set(Capability)
    np.testing.assert_allclose(
        classifier.logits(images).numpy(), recipe.logits(normalised(images)), rtol=1e-4, atol=1e-4
    )
    up, down = (recipe.logits(normalised(images) + sign * step * direction / 0.25)[:, 0] for sign in (1, -1))
    along = (slope.double().numpy() * direction).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(along, (up - down) / (2 * step), rtol=1e-3, atol=1e-3)


def rounding(step):
    """The recipe's graph with features rounded to multiples of `step`."""
    model = Recipe().model()
    nodes = list(model.graph.node)
    at = next(place for place, node in enumerate(nodes) if node.op_type == "Gemm")
    nodes[at].input[0] = "rounded"
    nodes[at:at] = [
        helper.make_node("Div", ["feature", "step"], ["steps"]),
        helper.make_node("Round", ["steps"], ["whole"]),
        helper.make_node("Mul", ["whole", "step"], ["rounded"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(step), "step"))
    return model


@pytest.mark.parametrize("step", [0.5, 1e-2, 1e-4])
def test_a_twin_whose_gradients_vanish_by_rounding_is_not_believed(tmp_path, colour, step):
    classifier = load_model(saved(rounding(step), tmp_path / "r.onnx"), preprocess=colour)

    assert Capability.GRADIENTS not in classifier.capabilities
    assert "are zero, as they are where a graph rounds" in why_no_gradients(classifier)


@pytest.fixture
def opaque(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.yaml").write_text("mean: [0.0]\nstd: [1.0]\nsize: [8, 8]\n")
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0, 0.3, (64, 10)), rng.normal(0, 0.1, 10)
    return saved(onnx_graphs.digits_graph(weight, bias, convertible=False), tmp_path / "opaque.onnx")


@pytest.mark.parametrize("profile", ["quick", "ci"])
def test_a_default_profile_reports_on_a_model_without_gradients_and_says_so(opaque, capsys, profile):
    status = main(
        ["scan", opaque, "--data", "digits", "--preprocess", "g.yaml", "--profile", profile, "--limit", "60",
         "--exit-zero", "-o", "report.json"]
    )  # fmt: skip
    told = " ".join(capsys.readouterr().out.split())

    assert status == 0
    assert "no gradients" in told
    report = json.loads(Path("report.json").read_text())
    assert any(note.startswith("no gradients: onnx2torch cannot convert") for note in report["model"]["notes"])


def test_images_of_another_size_are_refused_with_the_one_that_the_file_declares(tmp_path):
    (tmp_path / "p.yaml").write_text("mean: [0, 0, 0]\nstd: [1, 1, 1]\nsize: 16\n")

    with pytest.raises(InvalidModel, match=r"images of shape \(4, 3, 16, 16\)") as refusal:
        load_model(str(Recipe().save(tmp_path)), preprocess=str(tmp_path / "p.yaml"))

    assert "Got: 16 Expected: 8" in refusal.value.detail
    assert "declares images of 8×8" in refusal.value.detail
    assert refusal.value.remedy == "--preprocess FILE.yaml with size: [8, 8]"


def test_labels_beyond_the_classes_end_with_status_two_and_both_numbers(tmp_path, colour, capsys):
    path = str(Recipe().save(tmp_path))
    np.savez(tmp_path / "d.npz", images=np.zeros((6, 8, 8, 3), np.uint8), labels=np.array([0, 1, 2, 3, 9, 1]))

    status = main(["scan", path, "--data", f"npz:{tmp_path / 'd.npz'}", "--preprocess", colour])
    told = capsys.readouterr().err

    assert status == 2
    assert "9" in told
    assert f"{CLASSES} classes" in told


def test_weights_beside_the_file_never_enter_the_message_that_onnxruntime_is_given(tmp_path):
    recipe = Recipe()
    recipe.weights["head"] = np.random.default_rng(1).normal(0, 1, (50_000, WIDTH)).astype(np.float32)
    recipe.weights["bias"] = np.zeros(50_000, np.float32)
    path = recipe.save(tmp_path, save_as_external_data=True, location="w.bin", size_threshold=100)
    assert (tmp_path / "w.bin").stat().st_size > 50_000 * WIDTH * 4

    stored = read_onnx(path)
    model, names = cut(stored.model, find_end(stored.model, stored.folder, None, "small.onnx"))
    running, note = session(model, stored.folder, torch.device("cpu"), "small.onnx")
    logits, feature = running.run(names, {"images": np.ones((2, 3, 8, 8), np.float32)})

    assert model.ByteSize() < 5_000
    assert note is None
    np.testing.assert_allclose(logits, feature.reshape(2, -1) @ recipe.weights["head"].T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", ["head", "constant"])
def test_weights_that_a_short_file_cannot_hold_are_refused_with_both_sizes(tmp_path, colour, where):
    path = Recipe().save(tmp_path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").write_bytes((tmp_path / "w.bin").read_bytes()[:100])
    if where == "constant":
        model = onnx.load(str(path), load_external_data=False)
        head = next(each for each in model.graph.initializer if each.name == "head")
        model.graph.initializer.remove(head)
        model.graph.node.insert(0, helper.make_node("Constant", [], ["head"], value=head))
        saved(model, path)

    with pytest.raises(InvalidModel, match=r"`w\.bin` has 100 bytes, and `small\.onnx` keeps weights up to"):
        load_model(str(path), preprocess=colour)


def test_a_constant_that_lies_outside_the_folder_is_refused_like_a_weight(tmp_path, colour):
    (tmp_path / "model").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    model = Recipe().model()
    outside = onnx.TensorProto(name="head", data_type=onnx.TensorProto.FLOAT, dims=[CLASSES, WIDTH])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../secret.bin")
    model.graph.initializer.remove(next(each for each in model.graph.initializer if each.name == "head"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["head"], value=outside))

    with pytest.raises(InvalidModel, match="outside its own folder"):
        load_model(saved(model, tmp_path / "model" / "m.onnx"), preprocess=colour)


def test_weights_that_are_fewer_than_their_shape_needs_are_named(tmp_path, colour):
    model = Recipe().model()
    next(each for each in model.graph.initializer if each.name == "head").raw_data = bytes(12)

    with pytest.raises(InvalidModel, match="`head` of the ONNX file cannot be read"):
        load_model(saved(model, tmp_path / "m.onnx"), preprocess=colour)


def test_the_newest_operators_that_onnxruntime_runs_keep_head_and_gradients(tmp_path, colour, images):
    recipe = Recipe(opset=NEWEST_RELEASED)
    classifier = load_model(str(recipe.save(tmp_path)), preprocess=colour)

    np.testing.assert_allclose(
        classifier.logits(images).numpy(), recipe.logits(normalised(images)), rtol=1e-4, atol=1e-4
    )
    assert classifier.capabilities == set(Capability)


def test_operators_younger_than_onnxruntime_are_refused_with_both_versions(tmp_path, colour):
    drafted = onnx.defs.onnx_opset_version()
    if drafted <= NEWEST_RELEASED:
        pytest.skip("this onnx knows no operators that onnxruntime does not run")

    with pytest.raises(InvalidModel, match="onnxruntime cannot run") as refused:
        load_model(str(Recipe(opset=drafted).save(tmp_path)), preprocess=colour)
    assert str(drafted) in refused.value.detail


def test_without_a_gpu_onnxruntime_answers_on_the_processor_and_says_so(tmp_path, capfd):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    stored = read_onnx(Recipe().save(tmp_path))

    running, note = session(stored.model, stored.folder, torch.device("cuda:0"), "small.onnx")

    assert running.get_providers() == ["CPUExecutionProvider"]
    assert note.startswith("onnxruntime answers on the processor: ")
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_a_model_of_more_than_two_gigabytes_is_opened(tmp_path):
    """A sparse file of zeros holds an embedding of the width of the head; no message of protobuf could."""
    rows = (2200 << 20) // (4 * 1024)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("MatMul", ["flat", "wide"], ["hidden"]),
            helper.make_node("ReduceMax", ["hidden"], ["one"], axes=[1], keepdims=1),
            helper.make_node("Add", ["flat", "one"], ["feature"]),
            helper.make_node("Gemm", ["feature", "head"], ["logits"], transB=1, name="classify"),
        ],
        "large",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 1, 32, 32])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.random.default_rng(0).normal(0, 1, (4, 1024)).astype(np.float32), "head")],
    )
    wide = graph.initializer.add(name="wide", data_type=onnx.TensorProto.FLOAT, dims=[1024, rows])
    wide.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "wide.bin", "offset": "0", "length": str(4 * 1024 * rows)}.items():
        wide.external_data.add(key=key, value=value)
    with (tmp_path / "wide.bin").open("wb") as file:
        file.truncate(4 * 1024 * rows)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = saved(model, tmp_path / "large.onnx")
    (tmp_path / "g.yaml").write_text("mean: [0.0]\nstd: [1.0]\nsize: [32, 32]\n")

    classifier = load_model(path, preprocess=str(tmp_path / "g.yaml"))
    images = torch.rand(2, 1, 32, 32)

    head = numpy_helper.to_array(graph.initializer[0])
    np.testing.assert_allclose(classifier.logits(images).numpy(), images.reshape(2, -1).numpy() @ head.T, rtol=1e-3)
    assert classifier.card.params_count == 4 * 1024 + 1024 * rows
    assert classifier.card.head.kind == "linear"
