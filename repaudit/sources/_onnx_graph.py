"""The end of an ONNX graph: its logits, and the last linear layer with the tensor that goes into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel
from repaudit.sources._first_layer import first_layer_of_onnx
from repaudit.sources._layout import settled
from repaudit.sources._onnx_linear import LONGEST, SHAPING, Constants, linear_end
from repaudit.sources._outputs import chosen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from repaudit.preprocessing import Layout, Preprocess
    from repaudit.sources._onnx_linear import LinearEnd

ORDERED = SHAPING - {"Transpose"}
"""May follow a softmax that is cut off: classes stay in their order."""
SOFTMAX = frozenset({"Softmax", "LogSoftmax"})


@dataclass(frozen=True, slots=True)
class GraphEnd:
    """What is asked of the graph."""

    input: str
    shape: tuple[int | None, ...]
    """Of the input, the batch first; None where it is open."""
    layout: Layout
    output: str
    """What the file itself answers with."""
    logits: str
    softmax: bool
    """The graph ends in a softmax; the logits are what goes into it."""
    head: LinearEnd | None
    reason: str | None
    """Why no linear layer was found."""


def find_end(
    model: onnx.ModelProto,
    folder: Path,
    output: str | None,
    name: str,
    known: Preprocess | None = None,
    said: Layout | None = None,
) -> GraphEnd:
    """Looks from the output backwards.

    Args:
        model: with its weights, or with their places.
        folder: in which files of weights lie.
        output: which of several outputs holds the logits; None where there is one.
        name: how errors call the file.
        known: size and channels of the images by the preprocessing.
        said: the order of the axes that a person or the metadata names.

    Raises:
        InvalidModel: several inputs or outputs, an unknown output, an input that is no batch of images, or one of
            which nothing tells where its channels are.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    producers = {tensor: node for node in graph.node for tensor in node.output}
    entry, shape = _entry(graph, weights, name)
    whole = chosen({str(each.name): str(each.name) for each in graph.output}, output, name)
    logits, softmax = _logits(whole, producers)
    head, reason = linear_end(logits, producers, Constants(weights, producers, folder))
    layout = settled(shape, first_layer_of_onnx(model, entry), known, said, name)
    return GraphEnd(entry, shape, layout, whole, logits, softmax, head, reason)


def with_its_softmax(end: GraphEnd) -> GraphEnd:
    """The same without anything cut off."""
    why = "the graph ends in a softmax, and what goes into it are not the logits of its classes"
    return replace(end, logits=end.output, softmax=False, head=None, reason=why)


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


def _logits(output: str, producers: Mapping[str, onnx.NodeProto]) -> tuple[str, bool]:
    """The tensor before a softmax at the end, if there is one."""
    name = output
    for _ in range(LONGEST):
        node = producers.get(name)
        if node is None:
            break
        if node.op_type in SOFTMAX:
            along_images = any(each.name == "axis" and each.i == 0 for each in node.attribute)
            return (output, False) if along_images else (str(node.input[0]), True)
        if node.op_type not in ORDERED:
            break
        name = node.input[0]
    return output, False
