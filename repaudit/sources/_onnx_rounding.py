"""Graphs that choose a step of rounding while they run: one for all images of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx

CHOOSES_ITS_STEP = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})
"""Operators that take their scale from the largest and the smallest value that goes in, whichever image it is of."""


def mixes_images(model: onnx.ModelProto) -> bool:
    """Whether an image's answer depends on the others of its call, by dynamic quantisation."""
    nodes = [*_all(model.graph.node), *(node for function in model.functions for node in _all(function.node))]
    return any(node.op_type in CHOOSES_ITS_STEP for node in nodes)


def _all(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Those of branches and loops included."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all(inner.node)
