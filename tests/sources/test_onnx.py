"""ONNX files: what the graph computes, its head, its gradients, and files that are refused."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.case import EvaluationShape
from repaudit.classifier import Capability
from repaudit.errors import InvalidModel
from repaudit.progress import SilentProgress
from repaudit.report.attack_codes import CODES, AttackOutcome
from repaudit.sources import load_model

_spec = importlib.util.spec_from_file_location("onnx_graphs", Path(__file__).with_name("onnx_graphs.py"))
onnx_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(onnx_graphs)
Recipe, CLASSES, WIDTH = onnx_graphs.Recipe, onnx_graphs.CLASSES, onnx_graphs.WIDTH

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


@pytest.fixture
def opened(tmp_path):
    """Opens the graph of a recipe as a classifier."""

    def open_recipe(recipe, **options):
        (tmp_path / "p.yaml").write_text(f"mean: {MEAN}\nstd: {STD}\n")
        return load_model(str(recipe.save(tmp_path)), preprocess=str(tmp_path / "p.yaml"), **options)

    return open_recipe


def normalised(images):
    shape = (1, 3, 1, 1)
    return (images.numpy().astype(np.float64) - np.reshape(MEAN, shape)) / np.reshape(STD, shape)


@pytest.fixture
def images():
    return torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(5))


VARIANTS = [
    Recipe(),
    Recipe(end="MatMul"),
    Recipe(end="Conv"),
    Recipe(softmax=True),
    Recipe(nhwc=True),
    Recipe(nhwc=True, softmax=True, batch=1),
    Recipe(batch=1),
    Recipe(batch=3),
    Recipe(batch=64, end="MatMul"),
    Recipe(opset=7, end="MatMul"),
    Recipe(opset=9),
    Recipe(opset=18),
]


@pytest.mark.parametrize("recipe", VARIANTS, ids=str)
def test_logits_and_features_are_what_the_graph_computes_by_hand(opened, images, recipe):
    classifier = opened(recipe)
    wanted = normalised(images)

    np.testing.assert_allclose(classifier.logits(images).numpy(), recipe.logits(wanted), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(classifier.features(images).numpy(), recipe.features(wanted), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recipe", VARIANTS, ids=str)
def test_the_head_is_read_from_the_weights_and_proved(opened, recipe):
    card = opened(recipe).card

    assert card.head.kind == ("1x1 convolution" if recipe.end == "Conv" else "linear")
    assert card.head.modules == ("classify",)
    assert card.head.feature_width == WIDTH
    assert card.head.proof_error < 1e-5
    assert card.classes_count == CLASSES
    assert card.params_count == WIDTH * 3 * 9 + CLASSES * WIDTH + CLASSES


@pytest.mark.parametrize("recipe", VARIANTS, ids=str)
def test_gradients_are_those_of_finite_differences_in_float64(opened, images, recipe):
    classifier = opened(recipe)
    pixels = images[:2].clone().requires_grad_()

    with torch.enable_grad():
        (slope,) = torch.autograd.grad(classifier.logits(pixels)[:, 0].sum(), pixels)

    assert Capability.GRADIENTS in classifier.capabilities
    direction = torch.randn(images[:2].shape, generator=torch.Generator().manual_seed(1))
    step = 1e-6
    ends = [
        recipe.logits(normalised(images[:2].double() + sign * step * direction.double()))[:, 0].sum()
        for sign in (1, -1)
    ]
    assert float((slope * direction).sum()) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)


def test_half_precision_graphs_are_asked_in_half_and_answer_in_single(opened, images):
    recipe = Recipe(dtype=np.float16)
    classifier = opened(recipe)

    logits = classifier.logits(images)

    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits.numpy(), recipe.logits(normalised(images)), rtol=2e-2, atol=2e-2)


def test_weights_beside_the_graph_are_read_and_hashed(tmp_path, images):
    recipe = Recipe()
    path = recipe.save(tmp_path, save_as_external_data=True, location="small.bin", size_threshold=0)
    (tmp_path / "p.yaml").write_text(f"mean: {MEAN}\nstd: {STD}\n")
    classifier = load_model(str(path), preprocess=str(tmp_path / "p.yaml"))

    assert set(classifier.card.files) == {"small.onnx", "small.bin"}
    np.testing.assert_allclose(
        classifier.logits(images).numpy(), recipe.logits(normalised(images)), rtol=1e-4, atol=1e-4
    )


def test_the_same_weights_have_the_same_hash_wherever_they_lie(tmp_path, opened):
    inside = opened(Recipe()).card.weights_sha256
    (tmp_path / "other").mkdir()
    path = Recipe().save(tmp_path / "other", save_as_external_data=True, location="w.bin", size_threshold=0)

    assert load_model(str(path), preprocess=str(tmp_path / "p.yaml")).card.weights_sha256 == inside
    assert opened(Recipe(seed=1)).card.weights_sha256 != inside


def test_another_graph_with_the_same_weights_is_another_architecture_and_engines_are_named(opened):
    plain, softmax = opened(Recipe()).card, opened(Recipe(softmax=True)).card

    assert plain.weights_sha256 == softmax.weights_sha256
    assert plain.architecture != softmax.architecture
    assert set(plain.engines) == {"onnxruntime", "onnx2torch"}


def test_preprocessing_in_the_metadata_is_used_and_none_is_asked_for(tmp_path):
    model = Recipe().model()
    helper.set_model_props(model, {"mean": str(MEAN), "std": str(STD)})
    onnx.save(model, str(tmp_path / "m.onnx"))

    assert load_model(str(tmp_path / "m.onnx")).card.preprocess.mean == tuple(MEAN)
    with pytest.raises(InvalidModel) as refused:
        load_model(str(Recipe().save(tmp_path)))
    for way in ("timm:NAME", "torchvision:NAME/WEIGHTS", "FILE.yaml"):
        assert way in refused.value.remedy


def test_what_only_the_twin_takes_for_a_success_is_none(opened, images, make_images):
    """The twin answers something else; the answers of onnxruntime alone make a verdict."""
    classifier = opened(Recipe())
    labels = classifier.logits(images).argmax(dim=1).numpy()
    truth = classifier.network.twin

    class Inverted(torch.nn.Module):
        def forward(self, pixels):
            logits, feature = truth(pixels)
            return -logits, feature

    classifier.network.twin = Inverted().eval()
    held = make_images(images, labels)
    subjects = Subjects(ids=held.ids, labels=labels, logits=classifier.logits(images).numpy())
    found = evaluate(
        classifier, held, subjects, resolve({"name": "fgsm", "epsilon": 1e-6}),
        seed=0, shape=EvaluationShape(rows=8, calls=1), progress=SilentProgress(),
    )  # fmt: skip

    assert not (found.outcome == CODES[AttackOutcome.BROKEN]).any()
    assert (found.outcome == CODES[AttackOutcome.ROBUST]).all()


REFUSED = {
    "another file": (lambda folder: (folder / "x.onnx").write_bytes(b"\x89PNG not a model"), "is no ONNX file"),
    "empty": (lambda folder: (folder / "x.onnx").write_bytes(b""), "is no ONNX file"),
    "truncated": (
        lambda folder: (folder / "x.onnx").write_bytes(Recipe().model().SerializeToString()[:200]),
        "is no ONNX",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_model_is_refused(tmp_path, case):
    make, told = REFUSED[case]
    make(tmp_path)

    with pytest.raises(InvalidModel, match=told):
        load_model(str(tmp_path / "x.onnx"))


def external(folder, location):
    path = Recipe().save(folder, save_as_external_data=True, location="small.bin", size_threshold=0)
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/passwd", "a/../../secret.bin", ""])
def test_weights_outside_the_model_s_folder_are_refused(tmp_path, place):
    (tmp_path / "model").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"0" * 10_000)

    with pytest.raises(InvalidModel, match="outside its own folder"):
        load_model(str(external(tmp_path / "model", place)))


def test_a_link_that_leads_outside_is_outside(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"0" * 10_000)
    path = external(tmp_path / "model", "w.bin")
    (tmp_path / "model" / "w.bin").symlink_to(tmp_path / "secret.bin")

    with pytest.raises(InvalidModel, match="outside its own folder"):
        load_model(str(path))


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InvalidModel, match=r"`gone.bin`, which is not there"):
        load_model(str(external(tmp_path, "gone.bin")))


def test_operators_that_nobody_knows_are_named(opened):
    with pytest.raises(InvalidModel, match=r"acme\.Mystery"):
        opened(Recipe(operator_domain="acme"))


def test_several_outputs_are_asked_about_and_one_can_be_chosen(opened):
    with pytest.raises(InvalidModel) as refused:
        opened(Recipe(extra_output=True))
    assert refused.value.remedy.startswith("--set model.output=logits")
    with pytest.raises(InvalidModel) as misspelt:
        opened(Recipe(extra_output=True), arguments={"output": "logit"})
    assert misspelt.value.remedy.startswith("--set model.output=logits")

    assert opened(Recipe(extra_output=True), arguments={"output": "logits"}).card.classes_count == CLASSES


def test_an_argument_of_an_architecture_is_refused(opened):
    with pytest.raises(InvalidModel, match="takes no such argument"):
        opened(Recipe(), arguments={"num_classes": 4})


@pytest.mark.parametrize(("shape", "told"), [([1, 3, 8], "3 axes"), ([1, 7, 8, 9], "no axis is one of colours")])
def test_an_input_that_is_no_batch_of_images_is_refused(tmp_path, shape, told):
    model = Recipe().model()
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape))
    onnx.save(model, str(tmp_path / "x.onnx"))

    with pytest.raises(InvalidModel, match=told):
        load_model(str(tmp_path / "x.onnx"))


def test_a_graph_that_cannot_be_converted_is_audited_without_gradients_and_says_why(tmp_path):
    model = Recipe(opset=18).model()
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Shrink"
    onnx.save(model, str(tmp_path / "shrink.onnx"))
    (tmp_path / "p.yaml").write_text(f"mean: {MEAN}\nstd: {STD}\n")

    classifier = load_model(str(tmp_path / "shrink.onnx"), preprocess=str(tmp_path / "p.yaml"))

    assert classifier.capabilities == {Capability.FEATURES, Capability.LINEAR_HEAD}
    (why,) = [note for note in classifier.card.notes if note.startswith("no gradients: ")]
    assert "Shrink" in why
    assert "square" in why


@pytest.mark.parametrize("chosen", [None, "maps"])
def test_an_output_without_an_axis_of_classes_is_refused(opened, tmp_path, chosen):
    if chosen is not None:
        with pytest.raises(InvalidModel, match=r"not \(4, classes\)"):
            opened(Recipe(extra_output=True), arguments={"output": chosen})
        return
    model = Recipe().model()
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("rectified", onnx.TensorProto.FLOAT, None))
    onnx.save(model, str(tmp_path / "x.onnx"))
    (tmp_path / "p.yaml").write_text(f"mean: {MEAN}\nstd: {STD}\n")

    with pytest.raises(InvalidModel, match=r"not \(4, classes\)"):
        load_model(str(tmp_path / "x.onnx"), preprocess=str(tmp_path / "p.yaml"))


def test_a_graph_of_open_size_that_takes_one_size_only_keeps_its_gradients(tmp_path):
    weight = np.random.default_rng(0).normal(0, 1, (CLASSES, 3 * 40 * 40)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["feature"]),
            helper.make_node("Gemm", ["feature", "weight"], ["logits"], transB=1),
        ],
        "flat",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", CLASSES])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "f.onnx"))
    (tmp_path / "p.yaml").write_text(f"mean: {MEAN}\nstd: {STD}\nsize: 40\n")

    classifier = load_model(str(tmp_path / "f.onnx"), preprocess=str(tmp_path / "p.yaml"))

    assert Capability.GRADIENTS in classifier.capabilities
    images = torch.rand(2, 3, 40, 40)
    np.testing.assert_allclose(
        classifier.logits(images).numpy(), normalised(images).reshape(2, -1) @ weight.T, rtol=1e-3, atol=1e-3
    )
