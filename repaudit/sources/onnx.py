"""ONNX files: onnxruntime answers, onnx2torch gives gradients, the head is read from the graph."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidModel
from repaudit.sources import Draft, Source
from repaudit.sources._onnx_engines import cut, differs, session, twin_of
from repaudit.sources._onnx_file import graph_sha256, read_onnx, weights_sha256
from repaudit.sources._onnx_graph import find_end
from repaudit.sources._onnx_network import OnnxNetwork, prove_head
from repaudit.sources._preprocess import from_metadata

if TYPE_CHECKING:
    import onnx
    import torch

    from repaudit.sources import ModelRequest
    from repaudit.sources._onnx_graph import GraphEnd

OUTPUT = "output"
UNKNOWN_SIDE = 32
"""Side of the images on which a graph of open size is compared with its twin."""


def open_onnx(name: str, request: ModelRequest) -> Draft:
    """The network of the file `name`.

    Raises:
        InvalidModel: the file, its graph or an argument cannot be used.
    """
    path = Path(name)
    output = _output(request)
    stored = read_onnx(path)
    end = find_end(stored.model, output, path.name)
    model, names = cut(stored.model, end)
    twin = twin_of(model)
    network = OnnxNetwork(session(model, request.device, path.name), twin.module, end, names)
    notes, reason = [], twin.reason
    if reason is None and (reason := differs(network, _trial(end))) is not None:
        network.twin = None
    if end.softmax:
        notes.append("the graph ends in a softmax: its input is taken as the logits")
    if end.shape[0] is not None:
        notes.append(f"the graph takes batches of {end.shape[0]}: others are padded and split")
    if reason is not None:
        notes.append(f"no gradients: {reason}; only attacks that need none can run (square, transfer)")
    height, width = end.shape[2:] if end.layout == "nchw" else end.shape[1:3]
    return Draft(
        network=network,
        resolved=f"onnx:{path.name}",
        source="onnx",
        architecture=f"onnx graph {graph_sha256(stored.model)[:12]} of {len(stored.model.graph.node)} nodes",
        preprocess=from_metadata({each.key: each.value for each in stored.model.metadata_props}, path.name),
        files=stored.files,
        notes=tuple(notes),
        layout=end.layout,
        size=None if height is None or width is None else (height, width),
        weights_sha256=weights_sha256(stored.model),
        params_count=_params_count(stored.model),
        find_head=partial(prove_head, network, end, request.device),
        engines=_engines(),
        gradients_elsewhere=network.twin is not None,
    )


def _engines() -> dict[str, str]:
    import onnxruntime

    return {"onnxruntime": str(onnxruntime.__version__), "onnx2torch": version("onnx2torch")}


def _output(request: ModelRequest) -> str | None:
    foreign = [key for key in request.arguments if key != OUTPUT]
    if foreign:
        raise InvalidModel(
            f"`--set model.{foreign[0]}`: an ONNX file takes no such argument",
            remedy="--set model.output=NAME   (which of several outputs holds the logits)",
        )
    chosen = request.arguments.get(OUTPUT)
    return None if chosen is None else str(chosen)


def _params_count(model: onnx.ModelProto) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if len(tensor.dims) > 0)


def _trial(end: GraphEnd) -> torch.Tensor:
    import torch

    sides = [side or UNKNOWN_SIDE for side in end.shape[1:]]
    if end.shape[1] is None and end.shape[3] is None:
        sides[0] = 3
    return torch.rand(2, *sides, generator=torch.Generator().manual_seed(1))


source = Source(
    summary="an ONNX file (.onnx), weights inside or beside it; --set model.output=NAME chooses among outputs",
    examples=("model.onnx --preprocess timm:resnet50.a1_in1k", "onnx:exported/model.onnx --preprocess mynet.yaml"),
    open=open_onnx,
    build=None,
)
