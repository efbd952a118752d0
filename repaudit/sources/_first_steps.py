"""The operations between a program's input and its first layer, in the three formats."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.sources._own_normalisation import Operation, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx
    from torch import fx

LONGEST = 12
"""Operations looked at."""
MOST_CHANNELS = 4
_ONNX = {"Add": Operation.ADD, "Sub": Operation.SUBTRACT, "Mul": Operation.MULTIPLY, "Div": Operation.DIVIDE}
_ONNX_MOVES = frozenset({"Identity", "Cast", "Transpose"})
_ONNX_RESHAPES = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Expand", *_ONNX_MOVES})
"""Of a constant: they change no number."""
_TORCH = {operation.value: operation for operation in Operation}
_TORCH_MOVES = frozenset({"clone", "to", "_to_copy", "contiguous", "detach", "alias", "permute", "lift_fresh_copy"})
_RESHAPES = frozenset({"view", "reshape", "unsqueeze", "expand", *_TORCH_MOVES})
"""Of a constant: they change no number."""
_LOOKS = frozenset({"Shape", "size", "sym_size", "dim", "len"})
"""Who only asks for the shape of a tensor does nothing to it."""


def steps_of_onnx(model: onnx.ModelProto, entry: str, folder: Path) -> Iterator[Step]:
    """Of the graph's input `entry`; `folder` is where its files of weights lie."""
    constants = _OnnxConstants(model, folder)
    name = entry
    for _ in range(LONGEST):
        users = [node for node in model.graph.node if name in node.input and node.op_type not in _LOOKS]
        if len(users) != 1:
            return
        node = users[0]
        if node.op_type in _ONNX:
            at = list(node.input).index(name)
            constant = constants.get(node.input[1 - at])
            if constant is None:
                return
            yield Step(_ONNX[node.op_type], constant, constant_first=at == 1)
        elif node.op_type not in _ONNX_MOVES:
            return
        name = node.output[0]


class _OnnxConstants:
    """Small constants of a graph, under any name: exporters keep one copy of equal ones and lead to it by Identity."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        self._stored = {each.name: each for each in model.graph.initializer}
        self._makers = {node.output[0]: node for node in model.graph.node if node.output}
        self._folder = folder

    def get(self, name: str) -> np.ndarray | None:
        """Its values, whatever shape they were given; None where they depend on an input or are many."""
        from onnx import numpy_helper

        stored = self._stored.get(name)
        for _ in range(LONGEST):
            node = self._makers.get(name)
            if stored is not None or node is None:
                break
            if node.op_type == "Constant":
                return self._own(node)
            if node.op_type not in _ONNX_RESHAPES:
                return None
            name = node.input[0]
            stored = self._stored.get(name)
        if stored is None or math.prod(stored.dims) > MOST_CHANNELS:
            return None
        return np.asarray(numpy_helper.to_array(stored, str(self._folder)))

    def _own(self, node: onnx.NodeProto) -> np.ndarray | None:
        """Of a node that is a constant: a tensor, a number or a list of numbers."""
        from onnx import helper, numpy_helper

        for each in node.attribute:
            value = helper.get_attribute_value(each)
            found = numpy_helper.to_array(value, str(self._folder)) if each.name == "value" else np.asarray(value)
            return found if np.issubdtype(found.dtype, np.number) and found.size <= MOST_CHANNELS else None
        return None


def steps_of_program(module: fx.GraphModule) -> Iterator[Step]:
    """Of an exported program's only input."""
    node = next((each for each in module.graph.nodes if each.op == "placeholder"), None)
    for _ in range(LONGEST):
        if node is None:
            return
        users = [user for user in node.users if _kind(str(user.target)) not in _LOOKS]
        if len(users) != 1:
            return
        user = users[0]
        kind = _kind(str(user.target))
        if kind in _TORCH and len(user.args) == 2 and not user.kwargs:
            at = 0 if user.args[0] is node else 1
            constant = _fx_value(module, user.args[1 - at])
            if constant is None:
                return
            yield Step(_TORCH[kind], constant, constant_first=at == 1)
        elif kind not in _TORCH_MOVES:
            return
        node = user


def steps_of_script(module: torch.jit.ScriptModule) -> Iterator[Step]:
    """Of a TorchScript program's only input."""
    entries = list(module.inlined_graph.inputs())
    value = entries[1] if len(entries) == 2 else None
    for _ in range(LONGEST):
        if value is None:
            return
        users = [use.user for use in value.uses() if _kind(use.user.kind()) not in _LOOKS]
        if len(users) != 1:
            return
        node = users[0]
        kind, inputs = _kind(node.kind()), list(node.inputs())
        if kind in _TORCH:
            at = 0 if inputs[0].debugName() == value.debugName() else 1
            constant = _script_value(module, inputs[1 - at])
            if constant is None or any(str(each.toIValue()) != "1" for each in islice(inputs, 2, None)):
                return
            yield Step(_TORCH[kind], constant, constant_first=at == 1)
        elif kind not in _TORCH_MOVES:
            return
        value = next(iter(node.outputs()))


def _kind(name: str) -> str:
    """`sub` of `aten.sub_.Tensor` and of `aten::sub_`; a change in place is the same change."""
    plain = name.replace("::", ".").removeprefix("aten.").partition(".")[0]
    return plain if plain.startswith("_") else plain.removesuffix("_")


def _array(value: object) -> np.ndarray | None:
    if isinstance(value, torch.Tensor):
        return np.asarray(value.detach().cpu().double().numpy())
    return np.asarray(float(value)) if isinstance(value, int | float) else None


def _fx_value(module: fx.GraphModule, argument: object) -> np.ndarray | None:
    """A constant of a program, whatever shape it was given."""
    from torch import fx

    while isinstance(argument, fx.Node):
        if argument.op == "get_attr":
            return _array(_attribute(module, str(argument.target).split(".")))
        if _kind(str(argument.target)) not in _RESHAPES or not argument.args:
            return None
        argument = argument.args[0]
    return _array(argument)


def _script_value(module: torch.jit.ScriptModule, value: torch._C.Value) -> np.ndarray | None:
    """A constant of a script, whatever shape it was given."""
    while _kind(value.node().kind()) in _RESHAPES:
        value = next(iter(value.node().inputs()))
    path: list[str] = []
    node = value.node()
    if node.kind() != "prim::GetAttr":
        return _array(value.toIValue())
    while node.kind() == "prim::GetAttr":
        path.append(node.s("name"))
        node = next(iter(node.inputs())).node()
    return _array(_attribute(module, path[::-1]))


def _attribute(holder: object, path: list[str]) -> object:
    for part in path:
        holder = getattr(holder, part, None)
    return holder
