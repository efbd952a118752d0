"""The end of an exported program's graph: its logits, and the input of its last linear layer as a second output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import fx
from torch.utils import _pytree as trees

from repaudit.sources._outputs import chosen, leaves

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPING = frozenset({"flatten", "view", "reshape", "squeeze", "dropout", "clone", "contiguous", "_to_copy", "detach"})
"""Between the last linear layer and the output; they move numbers and change none."""
SOFTMAX = frozenset({"softmax", "_softmax", "log_softmax", "_log_softmax"})
LONGEST = 40


@dataclass(frozen=True, slots=True)
class LinearEnd:
    """The last linear layer of a program, whose input is now its second output."""

    name: str
    weight: torch.Tensor
    """(c, d) float32."""
    bias: torch.Tensor
    """(c,) float32."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that answers with logits, and with the feature where it has a head."""

    module: fx.GraphModule
    head: LinearEnd | None
    reason: str | None
    """Why no linear layer was found."""
    softmax: bool


def ended(program: torch.export.ExportedProgram, output: str | None, name: str, *, whole: bool = False) -> Ended:
    """A program as a module that ends at its logits.

    Args:
        program: which is left as it is.
        output: which of several outputs holds the logits; None where there is one.
        name: how errors call the file.
        whole: a closing softmax stays.

    Raises:
        InvalidModel: several outputs and none is chosen, or an unknown one is.
    """
    module = program.module(check_guards=False)  # guards are source code of the file
    if not isinstance(module, fx.GraphModule):
        raise TypeError("torch.export gave no graph")
    graph = module.graph
    for node in [node for node in graph.nodes if node.op == "call_module" and node.target == "_guards_fn"]:
        graph.erase_node(node)  # it holds calls to the example's batch size, which is kept otherwise
    end = next(node for node in graph.nodes if node.op == "output")
    answer = end.args[0] if isinstance(end.args[0], list | tuple) else [end.args[0]]
    outputs = trees.tree_unflatten(answer, program.call_spec.out_spec)
    logits, softmax = chosen(leaves(outputs, fx.Node), output, name), False
    if not whole:
        logits, softmax = _before_softmax(logits)
    head, reason = _linear_end(module, logits)
    if softmax:
        with graph.inserting_after(logits):
            logits = graph.call_function(torch.ops.aten.flatten.using_ints, (logits, 1))
    end.args = (logits if head is None else (logits, head[1]),)
    graph.eliminate_dead_code()
    found = None if head is None else head[0]
    return Ended(_rebuilt(module), found, reason, softmax=softmax)


def _rebuilt(module: fx.GraphModule) -> fx.GraphModule:
    """A plain module of tensors: what an exported program gives refuses `eval()` and packs its answers."""
    module.graph.set_codegen(fx.graph.CodeGen())
    return fx.GraphModule(module, module.graph)


def _single(value: object) -> fx.Node | None:
    if isinstance(value, tuple | list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, fx.Node) else None


def _kind(node: fx.Node) -> str:
    """The operator's plain name, such as `linear` of `aten.linear.default`."""
    return str(node.target).removeprefix("aten.").partition(".")[0] if node.op == "call_function" else node.op


def _before_softmax(logits: fx.Node) -> tuple[fx.Node, bool]:
    node: fx.Node | None = logits
    for _ in range(LONGEST):
        if node is None:
            break
        if _kind(node) in SOFTMAX:
            inner, axis = node.args[0], node.args[1] if len(node.args) > 1 else None
            if isinstance(inner, fx.Node) and isinstance(axis, int) and axis % inner.meta["val"].dim() != 0:
                return inner, True
            return logits, False
        if _kind(node) not in SHAPING:
            break
        node = _single(node.args[0])
    return logits, False


def _linear_end(module: fx.GraphModule, logits: fx.Node) -> tuple[tuple[LinearEnd, fx.Node] | None, str | None]:
    node: fx.Node | None = logits
    for _ in range(LONGEST):
        if node is None:
            return None, "the logits follow from no layer"
        if _kind(node) in SHAPING:
            node = _single(node.args[0])
            continue
        found = _READERS.get(_kind(node), _none)(module, node)
        if found is None:
            why = "whose weights are computed" if _kind(node) in _READERS else "which is not linear"
            return None, f"the logits come out of `{_kind(node)}`, {why}"
        return found, None
    return None, f"no linear layer among the last {LONGEST} operations"


def _none(module: fx.GraphModule, node: fx.Node) -> tuple[LinearEnd, fx.Node] | None:
    return None


def _linear(module: fx.GraphModule, node: fx.Node) -> tuple[LinearEnd, fx.Node] | None:
    weight = _value(module, node.args[1])
    bias = _value(module, node.args[2]) if len(node.args) > 2 and node.args[2] is not None else None
    feature = _single(node.args[0])
    if weight is None or feature is None or weight.dim() != 2:
        return None
    return _end(node, weight, bias), feature


def _addmm(module: fx.GraphModule, node: fx.Node) -> tuple[LinearEnd, fx.Node] | None:
    bias, feature, weight = _value(module, node.args[0]), _single(node.args[1]), _value(module, node.args[2])
    if bias is None or weight is None or feature is None or node.kwargs:
        return None
    return _end(node, weight.T, bias), feature


_READERS: dict[str, Callable[[fx.GraphModule, fx.Node], tuple[LinearEnd, fx.Node] | None]] = {
    "linear": _linear,
    "addmm": _addmm,
}


def _end(node: fx.Node, weight: torch.Tensor, bias: torch.Tensor | None) -> LinearEnd:
    rows = weight.detach().float().contiguous()
    return LinearEnd(node.name, rows, rows.new_zeros(len(rows)) if bias is None else bias.detach().float())


def _value(module: fx.GraphModule, argument: object) -> torch.Tensor | None:
    """A parameter of the program, through a transpose."""
    if not isinstance(argument, fx.Node):
        return None
    if argument.op == "get_attr":
        value: object = module
        for part in str(argument.target).split("."):
            value = getattr(value, part)
        return value if isinstance(value, torch.Tensor) else None
    if _kind(argument) in {"t", "transpose", "permute"}:
        inner = _value(module, argument.args[0])
        return None if inner is None or inner.dim() != 2 else inner.T
    return None
