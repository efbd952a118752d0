"""An ONNX file, read without leaving its folder and without running anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel
from repaudit.sources._state import file_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

LARGEST = 2 << 30
"""Bytes of one protobuf message; larger models keep their weights in files beside it."""
KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Whose operators onnxruntime brings along."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A model with all its weights in memory."""

    model: onnx.ModelProto
    files: Mapping[str, str]
    """sha256 of each file read, by its name."""


def read_onnx(path: Path) -> OnnxFile:
    """The model of a file and of the files that it keeps its weights in.

    Raises:
        InvalidModel: no ONNX file, a file of weights that is missing or lies outside the model's folder, or
            operators that onnxruntime does not know.
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
    for place in sorted(set(_places(model))):
        beside = _inside(path, place)
        files[place] = file_sha256(beside)
    if len(files) > 1:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    return OnnxFile(model, files)


def weights_sha256(model: onnx.ModelProto) -> str:
    """sha256 over names, types, shapes and bytes of the graph's weights, however the file keeps them."""
    from onnx import numpy_helper

    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda each: each.name):
        values = numpy_helper.to_array(tensor)
        digest.update(f"{tensor.name}\0{values.dtype.str}\0{values.shape}\0".encode())
        digest.update(values.tobytes())
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


def _places(model: onnx.ModelProto) -> Iterator[str]:
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            yield next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


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
