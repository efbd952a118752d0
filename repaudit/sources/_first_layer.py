"""What order of axes a program's first layers take: those that look at planes take channels first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from repaudit.preprocessing import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import onnx
    from torch import fx

Axes: TypeAlias = tuple[int, ...]
"""Which axis of the program's input each axis of a tensor is."""
Tensor = TypeVar("Tensor")
Node = TypeVar("Node")
LONGEST = 40
"""Operations looked at."""
INPUT = (0, 1, 2, 3)
_ONNX_PLANES = frozenset(
    {"Conv", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
    | {"BatchNormalization", "InstanceNormalization", "SpaceToDepth", "DepthToSpace"}
)
_ONNX_PASSING = frozenset(
    {"Identity", "Cast", "Add", "Sub", "Mul", "Div", "Clip", "Relu", "Pad", "Dropout"}
    | {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
)
_TORCH_PLANES = frozenset(
    {"conv2d", "convolution", "max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "adaptive_avg_pool2d"}
    | {"batch_norm", "instance_norm", "pixel_unshuffle", "pixel_shuffle", "upsample_bilinear2d", "upsample_nearest2d"}
)
_TORCH_PASSING = frozenset(
    {"add", "sub", "mul", "div", "clone", "contiguous", "to", "_to_copy", "detach", "alias", "clamp", "relu", "pad"}
    | {"constant_pad_nd", "dropout"}
)


def first_layer_of_onnx(model: onnx.ModelProto, entry: str) -> Layout | None:
    """The order that the first such operators of a graph make of its input `entry`; None where none is seen."""

    def users(name: str) -> Iterator[onnx.NodeProto]:
        return (node for node in model.graph.node if name in node.input)

    def moved(node: onnx.NodeProto, axes: Axes) -> Axes | Layout | None:
        if node.op_type in _ONNX_PLANES:
            return _order(axes)
        if node.op_type == "Transpose":
            order = next((list(each.ints) for each in node.attribute if each.name == "perm"), [3, 2, 1, 0])
            return tuple(axes[each] for each in order) if sorted(order) == list(INPUT) else None
        return axes if node.op_type in _ONNX_PASSING else None

    return _agreed(entry, users, moved, lambda node: node.output[0])


def first_layer_of_program(module: fx.GraphModule) -> Layout | None:
    """The same of an exported program."""
    entry = next((each for each in module.graph.nodes if each.op == "placeholder"), None)

    def users(node: fx.Node) -> Iterable[fx.Node]:
        return node.users

    def moved(node: fx.Node, axes: Axes) -> Axes | Layout | None:
        kind = str(node.target).removeprefix("aten.").partition(".")[0].removesuffix("_")
        if kind in _TORCH_PLANES:
            return _order(axes)
        if kind == "permute":
            return _permuted(axes, node.args[1])
        if kind == "transpose" and len(node.args) == 3:
            return _swapped(axes, node.args[1], node.args[2])
        return axes if kind in _TORCH_PASSING else None

    return None if entry is None else _agreed(entry, users, moved, lambda node: node)


def _agreed(
    entry: Tensor,
    users: Callable[[Tensor], Iterable[Node]],
    moved: Callable[[Node, Axes], Axes | Layout | None],
    made: Callable[[Node], Tensor],
) -> Layout | None:
    """What all first layers agree upon.

    Args:
        entry: the input.
        users: what takes a tensor.
        moved: the order of what a node makes, the layout if it is a layer of planes, None where that is the end.
        made: the tensor that a node makes.
    """
    waiting: list[tuple[Tensor, Axes]] = [(entry, INPUT)]
    found: set[Layout] = set()
    for _ in range(LONGEST):
        if not waiting:
            break
        tensor, axes = waiting.pop(0)
        for node in users(tensor):
            match moved(node, axes):
                case Layout() as layout:
                    found.add(layout)
                case tuple() as order:
                    waiting.append((made(node), order))
                case None:
                    pass
    return found.pop() if len(found) == 1 else None


def _order(axes: Axes) -> Layout | None:
    """Where the colours were in the input of a layer that takes them as its axis 1."""
    return {1: Layout.NCHW, 3: Layout.NHWC}.get(axes[1])


def _permuted(axes: Axes, order: object) -> Axes | None:
    if not isinstance(order, list | tuple) or not all(isinstance(each, int) for each in order):
        return None
    plain = [each % len(INPUT) for each in order]
    return tuple(axes[each] for each in plain) if sorted(plain) == list(INPUT) else None


def _swapped(axes: Axes, one: object, other: object) -> Axes | None:
    if not isinstance(one, int) or not isinstance(other, int):
        return None
    swapped: list[int] = [*axes]
    swapped[one], swapped[other] = swapped[other], swapped[one]
    return tuple(swapped)
