"""A TorchScript program, and the last linear layer where its graph shows one."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidModel
from repaudit.foreign import said
from repaudit.sources._script_guard import code_in_script
from repaudit.sources._state import trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SHAPING = frozenset(
    {"aten::flatten", "aten::view", "aten::reshape", "aten::squeeze", "aten::dropout", "aten::contiguous"}
)
LONGEST = 40


@dataclass(frozen=True, slots=True)
class ScriptedEnd:
    """The last linear layer of a script, and a function that also returns what goes into it."""

    function: Callable[..., object]
    """Takes images and the parameters; returns logits and features."""
    parameters: tuple[torch.Tensor, ...]
    weight: torch.Tensor
    bias: torch.Tensor
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


def find_linear(module: torch.jit.ScriptModule) -> ScriptedEnd | str:
    """The linear end, or the reason why there is none."""
    try:
        with _old_age_ignored():
            frozen = torch.jit.freeze(module, optimize_numerics=False)  # flags such as `training` become constants
        graph = frozen.graph.copy()
        torch._C._jit_pass_inline(graph)
        graph, parameters = torch._C._jit_pass_lower_graph(graph, frozen._c)
        return _found(graph, [each for each in parameters if isinstance(each, torch.Tensor)])
    except Exception as error:  # the compiler's own interface, which promises nothing
        return f"the script's graph cannot be read ({said(error)})"


def _found(graph: torch._C.Graph, parameters: list[torch.Tensor]) -> ScriptedEnd | str:
    values = dict(zip((each.debugName() for each in list(graph.inputs())[1:]), parameters, strict=True))
    value = next(iter(graph.outputs()))
    for _ in range(LONGEST):
        node = value.node()
        if node.kind() not in SHAPING:
            break
        value = next(iter(node.inputs()))
    node = value.node()
    inputs = list(node.inputs())
    if node.kind() != "aten::linear":
        return f"the last layer is `{node.kind()}`, which is not linear"
    weight, bias = _tensor(inputs[1], values), _tensor(inputs[2], values)
    if weight is None:
        return "the weights of the last layer are computed"
    graph.registerOutput(inputs[0])
    graph.makeMultiOutputIntoTuple()
    function = torch._C._create_function_from_graph("forward", graph)
    rows = weight.detach().float()
    shift = rows.new_zeros(len(rows)) if bias is None else bias.detach().float()
    return ScriptedEnd(function, tuple(parameters), rows, shift, node.scopeName() or "linear")


def _tensor(value: torch._C.Value, values: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    if value.debugName() in values:
        return values[value.debugName()]
    constant = value.toIValue()
    return constant if isinstance(constant, torch.Tensor) else None
