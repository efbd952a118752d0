"""A TorchScript program, and the last linear layer where its graph shows one."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidModel
from repaudit.foreign import said
from repaudit.sources._outputs import chosen, leaves
from repaudit.sources._script_guard import code_in_script
from repaudit.sources._state import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SHAPING = frozenset(
    {"aten::flatten", "aten::view", "aten::reshape", "aten::squeeze", "aten::dropout", "aten::contiguous"}
)
SOFTMAX = frozenset({"aten::softmax", "aten::log_softmax"})
LONGEST = 40
LARGEST_BATCH = 256


@dataclass(frozen=True, slots=True)
class ScriptedEnd:
    """The end of a script: its logits, and what goes into its last linear layer."""

    function: Callable[..., object] | None
    """Takes images and the parameters; returns logits, and features where there is a head. None: ask the script."""
    parameters: tuple[torch.Tensor, ...]
    head: ScriptedHead | None
    reason: str | None
    """Why no linear layer was found."""
    softmax: bool
    """A closing softmax was cut off."""


@dataclass(frozen=True, slots=True)
class ScriptedHead:
    """The last linear layer of a script."""

    weight: torch.Tensor
    """(c, d) float32."""
    bias: torch.Tensor
    """(c,) float32."""
    name: str


def read_script(
    path: Path, device: torch.device, *, trust_pickle: bool
) -> tuple[torch.jit.ScriptModule, tuple[str, ...]]:
    """The program of a file, and a note where it is trusted to reach beyond its own tensors.

    Raises:
        InvalidModel: it is none, cannot be read by this torch, or may reach files and is not trusted.
    """
    try:
        danger = code_in_script(path)
    except Exception as error:  # torch raises whatever its reader met
        raise _no_script(path, error) from None
    notes = trusted(path, danger, trust_pickle=trust_pickle)
    try:
        with _old_age_ignored():
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _no_script(path, error) from None
    return module.eval(), notes


def _no_script(path: Path, error: Exception) -> InvalidModel:
    return InvalidModel(
        f"`{path}` is no TorchScript program that this torch reads", detail=said(error), remedy="torch.jit.save"
    )


@contextmanager
def _old_age_ignored() -> Iterator[None]:
    """TorchScript is deprecated; files of it are what this reads."""
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=kind)
        yield


def find_end(module: torch.jit.ScriptModule, output: str | None, name: str, *, whole: bool = False) -> ScriptedEnd:
    """Looks from the output backwards.

    Args:
        module: in eval mode.
        output: which of several outputs holds the logits; None where there is one.
        name: how errors call the file.
        whole: a closing softmax stays.

    Raises:
        InvalidModel: several outputs and none is chosen, or an unknown one is.
    """
    try:
        with _old_age_ignored():
            frozen = torch.jit.freeze(module, optimize_numerics=False)  # flags such as `training` become constants
        graph = frozen.graph.copy()
        torch._C._jit_pass_inline(graph)
        graph, parameters = torch._C._jit_pass_lower_graph(graph, frozen._c)
        return _found(graph, [each for each in parameters if isinstance(each, torch.Tensor)], output, name, whole=whole)
    except InvalidModel:
        raise
    except Exception as error:  # the compiler's own interface, which promises nothing
        return _unread(f"the script's graph cannot be read ({said(error)})")


def batches_named(module: torch.jit.ScriptModule) -> list[int]:
    """Whole numbers that a script holds, ascending: one of them is the batch with which it was traced."""
    found: set[int] = set()
    graph = module.inlined_graph  # kept, for its nodes do not keep it
    for node in graph.findAllNodes("prim::Constant", recurse=True):  # type: ignore[attr-defined]
        value = node.output().toIValue()
        found.update(each for each in (value if isinstance(value, list) else [value]) if type(each) is int)
    return sorted(each for each in found if 0 < each <= LARGEST_BATCH)


def _unread(reason: str) -> ScriptedEnd:
    return ScriptedEnd(None, (), None, reason, softmax=False)


def _found(
    graph: torch._C.Graph, parameters: list[torch.Tensor], output: str | None, name: str, *, whole: bool
) -> ScriptedEnd:
    values = dict(zip((each.debugName() for each in list(graph.inputs())[1:]), parameters, strict=True))
    answer = _outputs(next(iter(graph.outputs())))
    if answer is None:
        return _unread("the script's graph does not tell its outputs apart")
    logits, softmax = chosen(leaves(answer, torch._C.Value), output, name), False
    if not whole:
        logits, softmax = _before_softmax(logits)
    found = _linear(logits, values)
    head, feature = (None, None) if isinstance(found, str) else found
    if head is None and not softmax:
        return _unread(str(found))
    graph.eraseOutput(0)
    for each in (logits, feature):
        if each is not None:
            graph.registerOutput(each)
    if feature is not None:
        graph.makeMultiOutputIntoTuple()
    function = torch._C._create_function_from_graph("forward", graph)
    return ScriptedEnd(function, tuple(parameters), head, found if isinstance(found, str) else None, softmax=softmax)


def _outputs(value: torch._C.Value) -> object:
    """Values in the tuples, lists and dicts in which a script returns them; None where its graph hides some."""
    inputs = list(value.node().inputs())
    tensor = value.type().kind() == "TensorType"
    if not tensor and len(value.uses()) > 1:
        return None  # filled after it was made
    match value.node().kind():
        case "prim::TupleConstruct" | "prim::ListConstruct":
            parts = [_outputs(each) for each in inputs]
            return None if None in parts else parts
        case "prim::DictConstruct":
            named = {key.toIValue(): _outputs(each) for key, each in zip(inputs[::2], inputs[1::2], strict=True)}
            return None if None in named.values() or None in named else named
        case _:
            return value if tensor else None


def _before_softmax(logits: torch._C.Value) -> tuple[torch._C.Value, bool]:
    value = logits
    for _ in range(LONGEST):
        node = value.node()
        inputs = list(node.inputs())
        if node.kind() in SOFTMAX:
            axis: object = inputs[1].toIValue()
            return (inputs[0], True) if isinstance(axis, int) and axis != 0 else (logits, False)
        if node.kind() not in SHAPING:
            break
        value = inputs[0]
    return logits, False


def _linear(value: torch._C.Value, values: Mapping[str, torch.Tensor]) -> tuple[ScriptedHead, torch._C.Value] | str:
    for _ in range(LONGEST):
        node = value.node()
        if node.kind() not in SHAPING:
            break
        value = next(iter(node.inputs()))
    node = value.node()
    inputs = list(node.inputs())
    if node.kind() != "aten::linear":
        return f"the logits come out of `{node.kind()}`, which is not linear"
    weight, bias = _tensor(inputs[1], values), _tensor(inputs[2], values)
    if weight is None:
        return f"the logits come out of `{node.kind()}`, whose weights are computed"
    rows = weight.detach().float()
    shift = rows.new_zeros(len(rows)) if bias is None else bias.detach().float()
    return ScriptedHead(rows, shift, node.scopeName() or "linear"), inputs[0]


def _tensor(value: torch._C.Value, values: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    if value.debugName() in values:
        return values[value.debugName()]
    constant = value.toIValue()
    return constant if isinstance(constant, torch.Tensor) else None
