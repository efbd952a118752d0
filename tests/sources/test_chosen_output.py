"""Which of several outputs is suggested, and what is said of logits that come out of no linear layer."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from repaudit.errors import InvalidModel
from repaudit.sources import load_model
from repaudit.sources._outputs import chosen

_spec = importlib.util.spec_from_file_location("onnx_graphs", Path(__file__).with_name("onnx_graphs.py"))
onnx_graphs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(onnx_graphs)


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["embedding", "class_logits"], "--set model.output=class_logits   ("),
        (["boxes", "Probabilities"], "--set model.output=Probabilities   ("),
        (["0", "1"], "--set model.output=0 or --set model.output=1   ("),
    ],
)
def test_the_output_whose_name_tells_of_classes_is_suggested_else_all_are(names, remedy):
    with pytest.raises(InvalidModel, match="has 2 outputs") as refusal:
        chosen(dict.fromkeys(names, 0), None, "net.onnx")

    assert refusal.value.remedy.startswith(remedy)
    assert refusal.value.detail == f"outputs: {', '.join(names)}"


def reason(tmp_path, model):
    onnx.save(model, str(tmp_path / "m.onnx"))
    (tmp_path / "p.yaml").write_text("mean: [0, 0, 0]\nstd: [1, 1, 1]\n")
    return load_model(str(tmp_path / "m.onnx"), preprocess=str(tmp_path / "p.yaml")).card.head.reason


def ending(nodes):
    """The small graph with more nodes behind its logits, which are called `last` then."""
    model = onnx_graphs.Recipe().model()
    model.graph.node.extend(nodes)
    model.graph.output[0].name = "last"
    return model


def test_logits_of_a_rectifier_are_told_as_not_linear(tmp_path):
    assert reason(tmp_path, ending([helper.make_node("Relu", ["logits"], ["last"])])) == (
        "the logits come out of `Relu`, which is not linear"
    )


def test_logits_of_a_product_with_computed_weights_are_told_as_such(tmp_path):
    nodes = [
        helper.make_node("Softmax", ["kernel_square"], ["weights"]),
        helper.make_node("MatMul", ["logits", "weights"], ["last"]),
    ]
    model = ending(nodes)
    square = np.eye(onnx_graphs.CLASSES, dtype=np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(square, "kernel_square"))

    assert reason(tmp_path, model) == "the logits come out of `MatMul`, whose weights are computed"
