"""What a file of `torch.export` would make torch do beyond arithmetic: read before torch reads it.

`torch.export.load` unpickles, evaluates expressions, calls whatever function of torch a node names and loads
machine code, all without asking. What is known to be harmless passes; everything else needs trust.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from itertools import chain
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHTS, CONSTANTS, SAMPLES, MODELS = "data/weights/", "data/constants/", "data/sample_inputs/", "models/"
PLAIN_PLACES = (WEIGHTS, CONSTANTS, SAMPLES, MODELS, ".data/", "extra/")
PLAIN_FILES = ("archive_format", "archive_version", "byteorder", "version")
NAME = re.compile(r"[\w.:+/-]*")
"""Without brackets, quotes and blanks no name can be more than a name in the code that torch writes of a graph."""
OPERATOR = re.compile(r"torch\.ops\.(?:aten|prims|quantized|quantized_decomposed|torchvision)\.\w+\.\w+")
NESTED = re.compile(r"torch\.ops\.higher_order\.(?:cond|wrap_with_set_grad_enabled|wrap_with_autocast)")
SIZE_ARITHMETIC = re.compile(
    r"_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(?:ceil|floor|trunc|sqrt|pow)|torch\.(?:sym_\w+|_sym_sqrt)"
)
REACHING = frozenset({"from_file", "save", "load_tensor", "read_file", "write_file"})
"""Operators that read or write files."""
TREES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})
KEYS = re.compile(r'null|\[("\w+"(, "\w+")*)?\]')
EXPRESSION = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.keyword, ast.Constant, ast.Name),
    *(ast.Load, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
FUNCTION = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Abs|Min|Max|Mod|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|Equality|Unequality"
    r"|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|FloorDiv|ModularIndexing|Where|PythonMod|CleanDiv"
    r"|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|TruncToFloat"
    r"|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity"
)
"""Of expressions about sizes."""
UNEVALUATED = frozenset({"metadata", "guards_code"})
"""Remarks on where a node comes from, which torch only keeps; and guards, which are not asked for."""
SHOWN = 80


def code_in_export(path: Path) -> str | None:
    """What of a .pt2 file might run code, in words; None where nothing does.

    Raises:
        Exception: whatever torch's reader raises on a file that is no such archive.
    """
    with zipfile.ZipFile(path) as archive:
        flat = [name for name in archive.namelist() if "/" not in name]
    if flat:
        return f"it has the layout of an older torch (`{flat[0][:SHOWN]}`), which unpickles"
    # torch's own reader, not zipfile: of a crooked archive the two may see different files.
    reader = torch._C.PyTorchFileReader(str(path))
    names = reader.get_all_records()
    return next(chain(_in_records(names), _in_payloads(reader, names), _in_programs(reader, names)), None)


def _in_records(names: list[str]) -> Iterator[str]:
    if len({name.lower() for name in names}) < len(names):
        yield "two of its parts have the same name"
    for name in names:
        if not name.startswith(PLAIN_PLACES) and name not in PLAIN_FILES:
            yield f"it holds `{name[:SHOWN]}`, which may be machine code"
        if name.startswith((WEIGHTS, CONSTANTS)) and name.endswith(".pt"):
            yield f"`{name[:SHOWN]}` is a pickle"


def _in_payloads(reader: torch._C.PyTorchFileReader, names: list[str]) -> Iterator[str]:
    for name in names:
        if name.startswith((WEIGHTS, CONSTANTS)) and name.endswith(".json"):
            for key, payload in json.loads(reader.get_record(name))["config"].items():
                if payload["use_pickle"] is not False or not payload["path_name"].startswith(("weight_", "tensor_")):
                    yield f"`{key[:SHOWN]}` is a pickle"
        if name.startswith(SAMPLES) and not _unpickles_tensors_only(reader.get_record(name)):
            yield f"`{name[:SHOWN]}` is a pickle of more than tensors"


def _unpickles_tensors_only(content: bytes) -> bool:
    if not content:
        return True
    try:
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception:  # the unpickler fails on foreign bytes in any way it likes
        return False
    return True


def _in_programs(reader: torch._C.PyTorchFileReader, names: list[str]) -> Iterator[str]:
    for name in names:
        if name.startswith(MODELS):
            yield from _in_graph(json.loads(reader.get_record(name)))


def _in_graph(value: object, key: str = "") -> Iterator[str]:
    """What in the JSON of a program is neither a plain name nor harmless arithmetic."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if NAME.fullmatch(name) is None:
                yield f"it has a name that is none: {name[:SHOWN]!r}"
            if name not in UNEVALUATED:
                yield from _in_graph(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_graph(inner, key)
    elif isinstance(value, str) and not _harmless(value, key):
        yield f"its {key.replace('_', ' ')} is {value[:SHOWN]!r}"


def _harmless(text: str, key: str) -> bool:
    match key:
        case "target" | "as_operator":
            return _arithmetic(text)
        case "expr_str":
            return _about_sizes(text)
        case "in_spec" | "out_spec":
            return _plain_tree(json.loads(text)[1])
        case _:
            return NAME.fullmatch(text) is not None


def _arithmetic(target: str) -> bool:
    """Whether a node calls an operator on tensors or calculates sizes."""
    if OPERATOR.fullmatch(target):
        found: object = torch
        for part in target.split(".")[1:]:
            found = getattr(found, part, None)
        return isinstance(found, torch._ops.OpOverload) and target.split(".")[3] not in REACHING
    return NESTED.fullmatch(target) is not None or SIZE_ARITHMETIC.fullmatch(target) is not None


def _about_sizes(expression: str) -> bool:
    """Whether an expression, which sympy evaluates as Python, is arithmetic on symbols."""
    try:
        nodes = list(ast.walk(ast.parse(expression.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in nodes:
        if not isinstance(node, EXPRESSION):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+", node.value) is None:
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and FUNCTION.fullmatch(node.func.id)):
            return False
    return True


def _plain_tree(tree: dict[str, object]) -> bool:
    """Whether answers and arguments are nested in tuples, lists and dictionaries alone."""
    context, children = tree["context"], tree["children_spec"]
    return (
        tree["type"] in TREES
        and (context is None or (isinstance(context, str) and KEYS.fullmatch(context) is not None))
        and isinstance(children, list)
        and all(_plain_tree(child) for child in children)
    )
