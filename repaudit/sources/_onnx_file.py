"""An ONNX file, read without leaving its folder and without running anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel
from repaudit.foreign import said
from repaudit.sources._state import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    import onnx

KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Whose operators onnxruntime brings along."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A model; weights beside the file stay there."""

    name: str
    model: onnx.ModelProto
    folder: Path
    """In which files of weights lie."""
    files: Mapping[str, str]
    """sha256 of each file read, by its name."""


def read_onnx(path: Path) -> OnnxFile:
    """The model of a file and of the files that it keeps its weights in.

    Raises:
        InvalidModel: no ONNX file, a file of weights that is missing, too short or lies outside the model's folder,
            or operators that onnxruntime does not know.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise InvalidModel(
            f"there is no file `{path}`" if not path.exists() else f"`{path}` is a folder, not an ONNX file",
            remedy="the path of an .onnx file",
        )
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise _no_onnx(path, str(error)) from None
    if not model.graph.node or not model.graph.output:
        raise _no_onnx(path, "it holds no graph")
    _refuse_unknown_operators(model, path)
    files = {path.name: file_sha256(path)}
    ends = _ends(model)
    for place in sorted(ends):
        beside = _inside(path, place)
        if beside.stat().st_size < ends[place]:
            raise InvalidModel(
                f"`{place}` has {beside.stat().st_size:,} bytes, and `{path.name}` keeps weights up to {ends[place]:,}",
                remedy=f"download or copy `{place}` again; it belongs to `{path.name}`",
            )
        files[place] = file_sha256(beside)
    return OnnxFile(path.name, model, path.parent, files)


def values(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """A stored tensor, wherever its bytes lie.

    Raises:
        InvalidModel: its bytes are not as many as its shape needs, or of an unknown type.
    """
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor, base_dir=str(folder))
    except Exception as error:  # onnx raises whatever numpy does
        raise InvalidModel(
            f"the weights `{tensor.name}` of the ONNX file cannot be read",
            detail=said(error),
            remedy="onnx.checker.check_model, or another export",
        ) from None


def with_weights(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The same model with all its weights in memory."""
    import onnx

    if not _ends(model):
        return model
    loaded = onnx.ModelProto()
    loaded.CopyFrom(model)
    onnx.external_data_helper.load_external_data_for_model(loaded, str(folder))
    return loaded


def weights_sha256(model: onnx.ModelProto, folder: Path) -> str:
    """sha256 over names, types, shapes and bytes of the graph's weights, however the file keeps them."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda each: each.name):
        stored = values(tensor, folder)
        digest.update(f"{tensor.name}\0{stored.dtype.str}\0{stored.shape}\0".encode())
        digest.update(stored.tobytes())
    return digest.hexdigest()


def graph_sha256(model: onnx.ModelProto) -> str:
    """sha256 over operators, their attributes and how they are joined: the same weights can serve another graph."""
    digest = hashlib.sha256()
    for domain in sorted((each.domain, each.version) for each in model.opset_import):
        digest.update(repr(domain).encode())
    for node in model.graph.node:
        digest.update(node.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _no_onnx(path: Path, reason: str) -> InvalidModel:
    return InvalidModel(
        f"`{path}` is no ONNX file: truncated, or another kind of file",
        detail=reason[:300],
        remedy="torch.onnx.export, or the checkpoint from which the file was exported with --arch",
    )


def _ends(model: onnx.ModelProto) -> dict[str, int]:
    """How many bytes the files of weights must have, by their names."""
    ends: dict[str, int] = {}
    functions = chain.from_iterable(function.node for function in model.functions)
    for tensor in chain(_tensors(model.graph), _in_nodes(functions)):
        if tensor.data_location == tensor.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            place = entries.get("location", "")
            numbers = [entries.get(key, "0") for key in ("offset", "length")]
            end = sum(int(number) for number in numbers if number.isdecimal())
            ends[place] = max(ends.get(place, 0), end)
    return ends


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Weights and constants, those of branches and loops included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _inside(path: Path, place: str) -> Path:
    """Where a file of weights lies; it must lie in the model's folder, links followed."""
    pure, beside = PurePosixPath(place), path.parent / place
    within = not pure.is_absolute() and ".." not in pure.parts and place != ""
    if not within or path.parent.resolve() not in beside.resolve().parents:
        raise InvalidModel(
            f"`{path.name}` keeps weights in `{place}`, outside its own folder",
            detail="A model that reads files elsewhere is not opened.",
            remedy="onnx.save with its weights beside it",
        )
    if not beside.is_file():
        raise InvalidModel(
            f"`{path.name}` keeps weights in `{place}`, which is not there",
            remedy=f"copy `{place}` beside `{path.name}`",
        )
    return beside


def _refuse_unknown_operators(model: onnx.ModelProto, path: Path) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    foreign = sorted(
        {
            f"{node.domain}.{node.op_type}"
            for node in model.graph.node
            if node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in own
        }
    )
    if foreign:
        raise InvalidModel(
            f"`{path.name}` needs operators that onnxruntime does not bring along: {', '.join(foreign[:5])}",
            remedy="export it with standard operators, or audit the checkpoint with --arch",
        )
