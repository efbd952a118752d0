"""The end of an ONNX graph: its logits, and the last linear layer with the tensor that goes into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidModel, nearest
from repaudit.preprocessing import Layout
from repaudit.sources._onnx_file import values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

SHAPING = frozenset({"Identity", "Flatten", "Squeeze", "Reshape", "Cast", "Dropout", "Transpose"})
"""Between the last linear layer and the output; they move numbers and change none."""
AVERAGING = frozenset({"GlobalAveragePool", "ReduceMean"})
"""Means over positions, which a 1×1 convolution commutes with."""
SOFTMAX = frozenset({"Softmax", "LogSoftmax"})
QUANTIZED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm"})
"""Operators that round to few bits what goes through them."""
COLOURS = (1, 3, 4)
"""Channels that tell an axis of colours from one of pixels."""
LONGEST = 40
"""Nodes looked at on the way back."""


@dataclass(frozen=True, slots=True)
class LinearEnd:
    """The last linear layer: logits are its input times W transposed plus b."""

    node: str
    kind: str
    """As a head card calls it."""
    feature: str
    """Name of the tensor that goes in."""
    weight: np.ndarray
    """(c, d) float32."""
    bias: np.ndarray
    """(c,) float32."""


@dataclass(frozen=True, slots=True)
class GraphEnd:
    """What is asked of the graph."""

    input: str
    shape: tuple[int | None, ...]
    """Of the input, the batch first; None where it is open."""
    layout: Layout
    logits: str
    softmax: bool
    """The graph ends in a softmax; the logits are what goes into it."""
    head: LinearEnd | None
    reason: str | None
    """Why no linear layer was found."""


def find_end(model: onnx.ModelProto, folder: Path, output: str | None, name: str) -> GraphEnd:
    """Looks from the output backwards.

    Args:
        model: with its weights, or with their places.
        folder: in which files of weights lie.
        output: which of several outputs holds the logits; None where there is one.
        name: how errors call the file.

    Raises:
        InvalidModel: several inputs or outputs, an unknown output, or an input that is no batch of images.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    producers = {tensor: node for node in graph.node for tensor in node.output}
    entry, shape = _entry(graph, weights, name)
    logits, softmax = _logits(_chosen(graph, output, name), producers)
    head, reason = _linear_end(logits, producers, _Constants(weights, producers, folder))
    return GraphEnd(entry, shape, _layout(shape, name), logits, softmax, head, reason)


class _Constants:
    """Values of the graph that depend on no input."""

    def __init__(
        self, weights: Mapping[str, onnx.TensorProto], producers: Mapping[str, onnx.NodeProto], folder: Path
    ) -> None:
        self._weights, self._producers, self._folder = weights, producers, folder

    def get(self, name: str) -> np.ndarray | None:
        """The value of a weight or constant, through what only moves or rescales it; None where it is none."""
        if name in self._weights:
            return values(self._weights[name], self._folder)
        node = self._producers.get(name)
        if node is None:
            return None
        match node.op_type:
            case "Constant":
                value = next((each for each in node.attribute if each.name == "value"), None)
                return None if value is None else values(value.t, self._folder)
            case "Identity" | "Cast":
                return self.get(node.input[0])
            case "Transpose":
                inner = self.get(node.input[0])
                order = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
                return None if inner is None else np.transpose(inner, order)
            case "DequantizeLinear":
                return self._dequantized(node)
            case _:
                return None

    def _dequantized(self, node: onnx.NodeProto) -> np.ndarray | None:
        """(stored - zero point) × scale, along an axis where there are several scales; None for scales by blocks."""
        stored, scale = (self.get(each) for each in node.input[:2])
        zero = self.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
        given = {each.name: each.i for each in node.attribute}
        if stored is None or scale is None or zero is None or given.get("block_size") or scale.ndim > 1:
            return None
        along = [1] * stored.ndim
        if scale.size > 1:
            along[given.get("axis", 1)] = scale.size
        moved = stored.astype(np.float32) - zero.astype(np.float32).reshape(along if zero.size > 1 else 1)
        found: np.ndarray = moved * scale.astype(np.float32).reshape(along if scale.size > 1 else 1)
        return found


def _entry(
    graph: onnx.GraphProto, weights: Mapping[str, onnx.TensorProto], name: str
) -> tuple[str, tuple[int | None, ...]]:
    entries = [each for each in graph.input if each.name not in weights]  # old files list weights among the inputs
    if len(entries) != 1:
        raise InvalidModel(
            f"`{name}` has {len(entries)} inputs: {', '.join(each.name for each in entries) or 'none'}",
            remedy="a classifier with one input, a batch of images",
        )
    dimensions = entries[0].type.tensor_type.shape.dim
    shape = tuple(each.dim_value if each.dim_value > 0 else None for each in dimensions)
    if len(shape) != 4:
        raise InvalidModel(
            f"the input `{entries[0].name}` of `{name}` has {len(shape)} axes, not 4 (batch, channels, height, width)",
            remedy="an image classifier exported with its batch axis",
        )
    return entries[0].name, shape


def _layout(shape: tuple[int | None, ...], name: str) -> Layout:
    first, last = shape[1], shape[3]
    if first in COLOURS:
        return Layout.NCHW
    if last in COLOURS:
        return Layout.NHWC
    if first is None or last is None:
        return Layout.NCHW if first is None else Layout.NHWC
    raise InvalidModel(
        f"the input of `{name}` has shape {_told(shape)}, in which no axis is one of colours",
        remedy="a network that takes images of 1, 3 or 4 channels",
    )


def _told(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in shape) + ")"


def _chosen(graph: onnx.GraphProto, output: str | None, name: str) -> str:
    known = [str(each.name) for each in graph.output]
    if output is None and len(known) == 1:
        return known[0]
    if output in known:
        return str(output)
    near = nearest(output or "", known, 1) or known
    raise InvalidModel(
        f"`{name}` has {len(known)} outputs" if output is None else f"`{name}` has no output `{output}`",
        detail=f"outputs: {', '.join(known)}",
        remedy=f"--set model.output={near[0]}   (the one that holds the logits)",
    )


def _logits(output: str, producers: Mapping[str, onnx.NodeProto]) -> tuple[str, bool]:
    """The tensor before a softmax at the end, if there is one."""
    name = output
    for _ in range(LONGEST):
        node = producers.get(name)
        if node is None:
            break
        if node.op_type in SOFTMAX:
            return str(node.input[0]), True
        if node.op_type not in SHAPING:
            break
        name = node.input[0]
    return output, False


def _linear_end(
    logits: str, producers: Mapping[str, onnx.NodeProto], constants: _Constants
) -> tuple[LinearEnd | None, str | None]:
    name, averaged = logits, False
    for _ in range(LONGEST):
        node = producers.get(name)
        if node is None:
            return None, "the logits follow from no layer"
        if node.op_type in SHAPING or node.op_type in AVERAGING:
            averaged = averaged or node.op_type in AVERAGING
            name = node.input[0]
            continue
        found = _READERS.get(node.op_type, _none)(node, producers, constants)
        if found is None:
            quantized = any(each.op_type in QUANTIZED for each in producers.values())
            why = ": the graph rounds to few bits (quantised)" if quantized else ", or its weights are computed"
            return None, f"the last layer is `{node.op_type}`, which is not linear{why}"
        return found, None
    return None, f"no linear layer among the last {LONGEST} nodes"


def _none(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: _Constants) -> LinearEnd | None:
    return None


def _gemm(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: _Constants) -> LinearEnd | None:
    given = {each.name: each for each in node.attribute}
    weight = constants.get(node.input[1])
    if weight is None or weight.ndim != 2 or ("transA" in given and given["transA"].i):
        return None
    scale = given["alpha"].f if "alpha" in given else 1.0
    shift = given["beta"].f if "beta" in given else 1.0
    rows = weight if "transB" in given and given["transB"].i else weight.T
    bias = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(len(rows))
    return None if bias is None else _end(node, "linear", node.input[0], scale * rows, shift * bias)


def _matmul(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: _Constants) -> LinearEnd | None:
    weight = constants.get(node.input[1])
    if weight is None or weight.ndim != 2:
        return None
    return _end(node, "linear", node.input[0], weight.T, np.zeros(weight.shape[1]))


def _add(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: _Constants) -> LinearEnd | None:
    for bias_at, other in ((1, 0), (0, 1)):
        bias = constants.get(node.input[bias_at])
        before = producers.get(node.input[other])
        if bias is None or before is None or before.op_type not in {"MatMul", "Gemm", "Conv"}:
            continue
        found = _READERS[before.op_type](before, producers, constants)
        if found is not None:
            return _end(before, found.kind, found.feature, found.weight, found.bias + bias.reshape(-1))
    return None


def _conv(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: _Constants) -> LinearEnd | None:
    given = {each.name: list(each.ints) for each in node.attribute if each.ints}
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    weight = constants.get(node.input[1])
    plain = groups == 1 and all(set(given.get(key, [1])) == {1} for key in ("strides", "dilations"))
    if weight is None or weight.ndim != 4 or weight.shape[2:] != (1, 1) or not plain or any(given.get("pads", [0])):
        return None
    bias = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(len(weight))
    return None if bias is None else _end(node, "1x1 convolution", node.input[0], weight[:, :, 0, 0], bias)


def _end(node: onnx.NodeProto, kind: str, feature: str, weight: np.ndarray, bias: np.ndarray) -> LinearEnd:
    rows = np.array(weight, dtype=np.float32, order="C")
    flat = np.broadcast_to(np.asarray(bias, dtype=np.float32).reshape(-1), (len(rows),)).copy()
    return LinearEnd(node.name or node.output[0], kind, feature, rows, flat)


_READERS = {"Gemm": _gemm, "MatMul": _matmul, "Add": _add, "Conv": _conv}
