"""ONNX files: onnxruntime answers, onnx2torch gives gradients, the head is read from the graph."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.errors import InvalidModel
from repaudit.preprocessing import Layout
from repaudit.sources import Draft, Source
from repaudit.sources._assemble import SIZES_TRIED
from repaudit.sources._first_steps import steps_of_onnx
from repaudit.sources._onnx_engines import Agreement, agreement, cut, twin_of
from repaudit.sources._onnx_file import graph_sha256, read_onnx, weights_sha256, with_weights
from repaudit.sources._onnx_graph import find_end
from repaudit.sources._onnx_network import OnnxNetwork, prove_head
from repaudit.sources._onnx_rounding import mixes_images
from repaudit.sources._onnx_session import session
from repaudit.sources._own_normalisation import composed
from repaudit.sources._preprocess import from_metadata, read_preprocess

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from repaudit.preprocessing import Preprocess
    from repaudit.sources import ModelRequest
    from repaudit.sources._onnx_graph import GraphEnd

OUTPUT = "output"


def open_onnx(name: str, request: ModelRequest) -> Draft:
    """The network of the file `name`.

    Raises:
        InvalidModel: the file, its graph or an argument cannot be used.
    """
    path = Path(name)
    output = _output(request)
    stored = read_onnx(path)
    end = find_end(stored.model, stored.folder, output, path.name)
    model, names = cut(stored.model, end)
    twin = twin_of(with_weights(model, stored.folder))
    running, note = session(model, stored.folder, request.device, path.name)
    mixes = mixes_images(stored.model)
    network = OnnxNetwork(running, twin.module, end, names, one_by_one=mixes)
    notes = [] if note is None else [note]
    preprocess = from_metadata({each.key: each.value for each in stored.model.metadata_props}, path.name)
    asked = preprocess if request.preprocess is None else read_preprocess(request.preprocess)
    proved = _proved(network, end, asked) if twin.reason is None else Agreement(twin.reason)
    if proved.reason is not None:
        network.twin = None
    notes.append(_engines_told(running, proved))
    if end.softmax:
        notes.append("the graph ends in a softmax: its input is taken as the logits")
    if mixes:
        notes.append("asked one image at a time: its dynamic quantisation takes one scale for all images of a call")
    elif end.shape[0] is not None:
        notes.append(f"the graph takes batches of {end.shape[0]}: others are padded and split")
    height, width = end.shape[2:] if end.layout == "nchw" else end.shape[1:3]
    return Draft(
        network=network,
        resolved=f"onnx:{path.name}",
        source="onnx",
        architecture=f"onnx graph {graph_sha256(stored.model)[:12]} of {len(stored.model.graph.node)} nodes",
        preprocess=preprocess,
        files=stored.files,
        notes=tuple(notes),
        layout=end.layout,
        size=None if height is None or width is None else (height, width),
        weights_sha256=weights_sha256(stored.model, stored.folder),
        params_count=_params_count(stored.model),
        find_head=partial(prove_head, network, end, request.device),
        engines=_engines(),
        gradients_elsewhere=network.twin is not None,
        own_normalisation=composed(steps_of_onnx(stored.model, end.input, path.parent)),
        no_gradients=proved.reason,
    )


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


def _proved(network: OnnxNetwork, end: GraphEnd, known: Preprocess | None) -> Agreement:
    trial = _trial(network, end, known)
    return Agreement("no images were found that the graph takes") if trial is None else agreement(network, trial)


def _trial(network: OnnxNetwork, end: GraphEnd, known: Preprocess | None) -> torch.Tensor | None:
    """Images that the graph answers with a row of logits each; None where there are none of any usual size.

    Args:
        network: asked by onnxruntime alone.
        end: what is known of the input.
        known: size and channels by the preprocessing.
    """
    colours = 3 if known is None else known.channels
    sizes = [known.size] if known is not None and known.size else [(side, side) for side in SIZES_TRIED]
    for height, width in sizes:
        wanted = (colours, height, width) if end.layout is Layout.NCHW else (height, width, colours)
        sides = [own or other for own, other in zip(end.shape[1:], wanted, strict=True)]
        images = torch.rand(2, *sides, generator=torch.Generator().manual_seed(1))
        try:
            with torch.no_grad():
                answered = network(images)
        except Exception:  # onnxruntime's way to say that the size is another
            continue
        return images if answered.dim() == 2 else None
    return None


source = Source(
    summary="an ONNX file (.onnx), weights inside or beside it; --set model.output=NAME chooses among outputs",
    examples=("model.onnx --preprocess timm:resnet50.a1_in1k", "onnx:exported/model.onnx --preprocess mynet.yaml"),
    open=open_onnx,
    build=None,
)
