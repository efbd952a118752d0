"""The same graph in plainer operators: constants folded, and what came after opset 17 written in what was there before.

Converters to torch lag behind the exporters. Nothing here is believed: what is made of the result is compared with
onnxruntime's answers on the file itself.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx

PLAIN_OPSET = 17
"""The newest whose operators the converter knows, most of those that later changed only took more types of numbers."""
LARGEST_SHAPE = 64
"""Numbers in a constant that follows from shapes: sizes, pads and axes, never weights."""
REDUCTIONS = frozenset(
    f"Reduce{kind}" for kind in ("Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
)


def plainer(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with constants folded, in operators of opset 17 or below.

    Raises:
        Exception: whatever onnxruntime or onnx raise on a graph that is not theirs.
    """
    folded = _folded(model)
    _fix_shapes(folded)
    written = [each for node in folded.graph.node for each in _REWRITES.get(node.op_type, _unchanged)(node, folded)]
    del folded.graph.node[:]
    folded.graph.node.extend(written)
    version = next((each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}), PLAIN_OPSET)
    del folded.opset_import[:]
    folded.opset_import.add(domain="", version=min(version, PLAIN_OPSET))
    return folded


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """As onnxruntime simplifies it before it runs it, kept to standard operators."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # folds weights that are stored as integers too
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(str(path))


def _fix_shapes(model: onnx.ModelProto) -> None:
    """Makes constants of what follows from the shape of the images but not from how many they are.

    Padding that is computed from an image's size, as timm's and TensorFlow's `same` is, becomes fixed padding.
    """
    from onnx import numpy_helper

    found = _constant_shapes(model)
    if not found:
        return
    known = {node.name: node for node in model.graph.initializer}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in found.items() if name not in known
    )
    kept = [node for node in model.graph.node if not set(node.output) <= set(found)]
    wanted = {each.name for each in model.graph.output}
    alive: list[onnx.NodeProto] = []
    for node in reversed(kept):
        if wanted.intersection(node.output):
            alive.append(node)
            wanted.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(alive))


def _constant_shapes(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Values by name of tensors that follow from shapes and are the same for one image and for two."""
    import onnx
    import onnxruntime

    entry = next(each for each in model.graph.input if each.name not in {one.name for one in model.graph.initializer})
    sides = [side.dim_value for side in entry.type.tensor_type.shape.dim]
    names = _follow_from_shapes(model.graph)
    branches = any(each.HasField("g") or each.graphs for node in model.graph.node for each in node.attribute)
    if not names or branches or len(sides) != 4 or min(sides[1:]) < 1:
        return {}
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kind = onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    batches = [sides[0]] if sides[0] > 0 else [1, 2]
    runs = [session.run(names, {entry.name: np.zeros((rows, *sides[1:]), kind)}) for rows in batches]
    return {
        name: values[0]
        for name, *values in zip(names, *runs, strict=True)
        if all(np.array_equal(values[0], each) for each in values) and values[0].size <= LARGEST_SHAPE
    }


def _follow_from_shapes(graph: onnx.GraphProto) -> list[str]:
    """Names of tensors that depend on the images through their shapes alone, in the graph's order."""
    constant = {each.name for each in graph.initializer} | {""}
    shapes: list[str] = []
    for node in graph.node:
        if node.op_type == "Shape" or (node.input and all(each in constant for each in node.input)):
            shapes.extend(node.output)
            constant.update(node.output)
        elif node.op_type == "Constant":
            constant.update(node.output)
    return shapes


def _unchanged(node: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[onnx.NodeProto]:
    return [node]


def _reduce(node: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[onnx.NodeProto]:
    """Axes were an attribute before they became an input."""
    import onnx
    from onnx import numpy_helper

    axes = next((each for each in model.graph.initializer if len(node.input) > 1 and each.name == node.input[1]), None)
    if axes is None:
        return [node]
    kept = [each for each in node.attribute if each.name == "keepdims"]
    made = onnx.helper.make_node(
        node.op_type, [node.input[0]], list(node.output), name=node.name, axes=numpy_helper.to_array(axes).tolist()
    )
    made.attribute.extend(kept)
    return [made]


def _split(node: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[onnx.NodeProto]:
    """Equal parts followed from the number of outputs before they had an attribute of their own."""
    import onnx

    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    made.attribute.extend(each for each in node.attribute if each.name != "num_outputs")
    return [made]


def _gelu(node: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[onnx.NodeProto]:
    """GELU, x Φ(x), or its approximation by tanh, from operators that are older than its own."""
    approximate = next((each.s for each in node.attribute if each.name == "approximate"), b"none") == b"tanh"
    steps = _Steps(node, model)
    x = node.input[0]
    if approximate:
        cubed = steps.add("Mul", steps.add("Mul", x, x), x)
        inner = steps.add("Add", x, steps.add("Mul", cubed, steps.number(0.044715)))
        bell = steps.add("Tanh", steps.add("Mul", inner, steps.number(math.sqrt(2 / math.pi))))
    else:
        bell = steps.add("Erf", steps.add("Mul", x, steps.number(math.sqrt(0.5))))
    half = steps.add("Mul", x, steps.number(0.5))
    steps.add("Mul", half, steps.add("Add", bell, steps.number(1.0)), last=True)
    return steps.nodes


def _mish(node: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[onnx.NodeProto]:
    """Mish is x tanh(softplus(x))."""
    steps = _Steps(node, model)
    steps.add("Mul", node.input[0], steps.add("Tanh", steps.add("Softplus", node.input[0])), last=True)
    return steps.nodes


class _Steps:
    """Nodes in place of one, whose numbers are of the type that the graph computes in."""

    def __init__(self, node: onnx.NodeProto, model: onnx.ModelProto) -> None:
        import onnx

        self.nodes: list[onnx.NodeProto] = []
        self._node, self._model = node, model
        self._type = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)

    def add(self, operator: str, *inputs: str, last: bool = False) -> str:
        """The name of the new node's output; that of the replaced node where it is the last."""
        import onnx

        name = self._node.output[0] if last else f"{self._node.output[0]}/{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], name=name))
        return name

    def number(self, value: float) -> str:
        """The name of a new constant."""
        from onnx import numpy_helper

        name = f"{self._node.output[0]}/number {value}"
        if all(each.name != name for each in self._model.graph.initializer):
            self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype=self._type), name))
        return name


_REWRITES: dict[str, Callable[[onnx.NodeProto, onnx.ModelProto], Sequence[onnx.NodeProto]]] = {
    **dict.fromkeys(REDUCTIONS, _reduce),
    "Split": _split,
    "Gelu": _gelu,
    "Mish": _mish,
}
