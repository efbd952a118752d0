"""The last linear layer of an ONNX graph, and the tensor that goes into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from repaudit.sources._onnx_file import values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

SHAPING = frozenset({"Identity", "Flatten", "Squeeze", "Reshape", "Cast", "Dropout", "Transpose"})
"""Between the last linear layer and the output; they move numbers and change none."""
AVERAGING = frozenset({"GlobalAveragePool", "ReduceMean"})
"""Means over positions, which a linear layer commutes with."""
QUANTIZED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm"})
"""Operators that round to few bits what goes through them."""
HALVES = frozenset({"float16", "bfloat16"})
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
    precision: float
    """Of the numbers that its weights are stored in: the distance from 1 to the next."""
    positions_last: bool
    """Of a feature of more than two axes: (b, d, …) rather than (b, …, d)."""


class Constants:
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
            case "Identity":
                return self.get(node.input[0])
            case "Cast":
                return self._cast(node)
            case "Transpose":
                inner = self.get(node.input[0])
                order = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
                return None if inner is None else np.transpose(inner, order)
            case "DequantizeLinear":
                return self._dequantized(node)
            case _:
                return None

    def _cast(self, node: onnx.NodeProto) -> np.ndarray | None:
        from onnx import helper

        inner = self.get(node.input[0])
        kind = next(helper.tensor_dtype_to_np_dtype(each.i) for each in node.attribute if each.name == "to")
        return None if inner is None else inner.astype(kind)

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


def linear_end(
    logits: str, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> tuple[LinearEnd | None, str | None]:
    """The last linear layer, or the reason why none is found.

    Args:
        logits: name of the tensor from which to look backwards.
        producers: what makes each tensor.
        constants: of the graph.
    """
    name = logits
    for _ in range(LONGEST):
        node = producers.get(name)
        if node is None:
            return None, "the logits follow from no layer"
        if node.op_type in SHAPING or node.op_type in AVERAGING:
            name = node.input[0]
            continue
        found = _READERS.get(node.op_type, _none)(node, producers, constants)
        if isinstance(found, LinearEnd):
            return found, None
        return None, found or f"the logits come out of `{node.op_type}`, {_why_not(node, producers, constants)}"
    return None, f"no linear layer among the last {LONGEST} nodes"


def _why_not(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants) -> str:
    """Why a node is none that is read."""
    if any(each.op_type in QUANTIZED for each in producers.values()):
        return "which is not linear: the graph rounds to few bits (quantised)"
    if node.op_type not in _READERS:
        return "which is not linear"
    if node.op_type == "Add":
        return "which adds no constant to a linear layer"
    return "whose weights are computed" if constants.get(node.input[1]) is None else "which is no linear layer"


def _none(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants) -> None:
    return None


def _gemm(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> LinearEnd | str | None:
    given = {each.name: each for each in node.attribute}
    weight = constants.get(node.input[1])
    if weight is None or weight.ndim != 2 or ("transA" in given and given["transA"].i):
        return None
    scale = given["alpha"].f if "alpha" in given else 1.0
    shift = given["beta"].f if "beta" in given else 1.0
    rows = weight if "transB" in given and given["transB"].i else weight.T
    bias = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(len(rows))
    return None if bias is None else _end(node, node.input[0], rows, bias, scale=scale, shift=shift)


def _matmul(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants) -> LinearEnd | None:
    weight = constants.get(node.input[1])
    if weight is None or weight.ndim != 2:
        return None
    found = _end(node, node.input[0], weight.T, np.zeros(weight.shape[1]))
    return found if isinstance(found, LinearEnd) else None


def _add(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants) -> LinearEnd | str | None:
    for bias_at, other in ((1, 0), (0, 1)):
        bias = constants.get(node.input[bias_at])
        before = producers.get(node.input[other])
        if bias is None or before is None or before.op_type not in {"MatMul", "Gemm", "Conv"}:
            continue
        found = _READERS[before.op_type](before, producers, constants)
        if not isinstance(found, LinearEnd):
            return found
        added = _shift(bias, len(found.weight), positions_last=found.positions_last)
        return added if isinstance(added, str) else replace(found, bias=found.bias + added)
    return None


def _conv(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Constants
) -> LinearEnd | str | None:
    given = {each.name: list(each.ints) for each in node.attribute if each.ints}
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    weight = constants.get(node.input[1])
    plain = groups == 1 and all(set(given.get(key, [1])) == {1} for key in ("strides", "dilations"))
    if weight is None or weight.ndim != 4 or weight.shape[2:] != (1, 1) or not plain or any(given.get("pads", [0])):
        return None
    bias = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(len(weight))
    if bias is None:
        return None
    return _end(node, node.input[0], weight[:, :, 0, 0], bias.reshape(-1, 1, 1), positions_last=True)


def _end(
    node: onnx.NodeProto,
    feature: str,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    scale: float = 1.0,
    shift: float = 1.0,
    positions_last: bool = False,
) -> LinearEnd | str:
    half = str(weight.dtype) in HALVES
    rows = np.array(scale * weight.astype(np.float32), dtype=np.float32, order="C")
    added = _shift(bias, len(rows), positions_last=positions_last)
    if isinstance(added, str):
        return added
    return LinearEnd(
        node=node.name or node.output[0],
        kind="1x1 convolution" if positions_last else "linear",
        feature=feature,
        weight=rows,
        bias=shift * added,
        precision=2.0 ** (-7 if str(weight.dtype) == "bfloat16" else -10 if half else -23),
        positions_last=positions_last,
    )


def _shift(bias: np.ndarray, classes: int, *, positions_last: bool) -> np.ndarray | str:
    """(classes,) float32 of what a layer adds; the reason where that differs between images or positions."""
    axis = -3 if positions_last else -1
    plain = np.asarray(bias, dtype=np.float32)
    own = plain.size == classes and plain.ndim >= -axis and plain.shape[axis] == classes
    if plain.size != 1 and not own:
        return f"what the last layer adds has shape {plain.shape}: it differs between images or positions"
    return np.broadcast_to(plain.reshape(-1), (classes,)).copy()


_READERS = {"Gemm": _gemm, "MatMul": _matmul, "Add": _add, "Conv": _conv}
