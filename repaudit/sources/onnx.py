"""ONNX files: onnxruntime answers, onnx2torch gives gradients, the head is read from the graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repaudit.sources import Draft, Source
from repaudit.sources._first_steps import steps_of_onnx
from repaudit.sources._head import TOLERANCE
from repaudit.sources._layout import sides
from repaudit.sources._onnx_engines import Agreement, agreement, cut, twin_of
from repaudit.sources._onnx_file import graph_sha256, read_onnx, weights_sha256, with_weights
from repaudit.sources._onnx_graph import find_end, with_its_softmax
from repaudit.sources._onnx_network import OnnxNetwork, prove_head, tolerance_of
from repaudit.sources._onnx_rounding import mixes_images
from repaudit.sources._onnx_session import session
from repaudit.sources._outputs import asked_output
from repaudit.sources._own_normalisation import composed
from repaudit.sources._preprocess import from_metadata, given_layout, read_preprocess
from repaudit.sources._softmax import is_softmax_of
from repaudit.sources._trial import images_taken

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    import torch

    from repaudit.preprocessing import Preprocess
    from repaudit.sources import ModelRequest
    from repaudit.sources._onnx_file import OnnxFile
    from repaudit.sources._onnx_graph import GraphEnd


def open_onnx(name: str, request: ModelRequest) -> Draft:
    """The network of the file `name`.

    Raises:
        InvalidModel: the file, its graph or an argument cannot be used.
    """
    path = Path(name)
    output = asked_output(request, "an ONNX file")
    stored = read_onnx(path)
    metadata = {each.key: each.value for each in stored.model.metadata_props}
    preprocess = from_metadata(metadata, path.name)
    known = preprocess if request.preprocess is None else read_preprocess(request.preprocess)
    said = given_layout(request.preprocess, metadata)
    opened = _opened(stored, find_end(stored.model, stored.folder, output, path.name, known, said), request, known)
    network, end = opened.network, opened.end
    return Draft(
        network=network,
        resolved=f"onnx:{path.name}",
        source="onnx",
        architecture=f"onnx graph {graph_sha256(stored.model)[:12]} of {len(stored.model.graph.node)} nodes",
        preprocess=preprocess,
        files=stored.files,
        notes=opened.notes,
        layout=end.layout,
        size=sides(end.shape, end.layout),
        weights_sha256=weights_sha256(stored.model, stored.folder),
        params_count=_params_count(stored.model),
        find_head=partial(prove_head, network, end, request.device),
        engines=_engines(),
        gradients_elsewhere=network.twin is not None,
        own_normalisation=composed(steps_of_onnx(stored.model, end.input, path.parent)),
        no_gradients=opened.no_gradients,
        softmax_cut=end.softmax,
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """A graph that runs."""

    network: OnnxNetwork
    end: GraphEnd
    notes: tuple[str, ...]
    no_gradients: str | None


def _opened(stored: OnnxFile, end: GraphEnd, request: ModelRequest, known: Preprocess | None) -> _Opened:
    """The graph, cut at its logits; with its softmax where what goes into that turns out to be something else."""
    model, names = cut(stored.model, end, whole=True)
    running, note = session(model, stored.folder, request.device, stored.name)
    mixes = mixes_images(stored.model)
    network = OnnxNetwork(running, None, end, names, one_by_one=mixes)
    trial = images_taken(network, end.shape, end.layout, known)
    if end.softmax and (trial is None or not is_softmax_of(network.whole(trial), network(trial))):
        return _opened(stored, with_its_softmax(end), request, known)
    twin = twin_of(with_weights(cut(stored.model, end)[0], stored.folder))
    network.twin = twin.module
    proved = Agreement(twin.reason) if twin.reason is not None else _proved(network, trial)
    if proved.reason is not None:
        network.twin = None
    notes = [] if note is None else [note]
    notes.append(_engines_told(running, proved))
    if end.softmax:
        notes.append("the graph ends in a softmax: its input is taken as the logits")
    if mixes:
        notes.append("asked one image at a time: its dynamic quantisation takes one scale for all images of a call")
    elif end.shape[0] is not None:
        notes.append(f"the graph takes batches of {end.shape[0]}: others are padded and split")
    if end.head is not None and tolerance_of(end.head) > TOLERANCE:
        told = f"{tolerance_of(end.head):.2g} rather than {TOLERANCE:.2g}"
        notes.append(f"its last layer computes in half precision: a head is proved to a relative {told}")
    return _Opened(network, end, tuple(notes), proved.reason)


def _engines() -> dict[str, str]:
    import onnxruntime

    return {"onnxruntime": str(onnxruntime.__version__), "onnx2torch": version("onnx2torch")}


def _engines_told(running: onnxruntime.InferenceSession, proved: Agreement) -> str:
    """Who answers, who gives gradients, and what makes that one believed."""
    engines, place = _engines(), str(running.get_providers()[0]).removesuffix("ExecutionProvider")
    told = f"onnxruntime {engines['onnxruntime']} ({place}) answers"
    if proved.reason is not None:
        return told
    return f"{told}; gradients from a torch twin by onnx2torch {engines['onnx2torch']}, proved: {proved.told}"


def _params_count(model: onnx.ModelProto) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if len(tensor.dims) > 0)


def _proved(network: OnnxNetwork, trial: torch.Tensor | None) -> Agreement:
    return Agreement("no images were found that the graph takes") if trial is None else agreement(network, trial)


source = Source(
    summary="an ONNX file (.onnx), weights inside or beside it; --set model.output=NAME chooses among outputs",
    examples=("model.onnx --preprocess timm:resnet50.a1_in1k", "onnx:exported/model.onnx --preprocess mynet.yaml"),
    open=open_onnx,
    build=None,
)
