"""onnxruntime on a graph: which provider answers, and where the weights come from."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import torch

from repaudit.errors import InvalidModel
from repaudit.foreign import LONGEST
from repaudit.sources._onnx_network import TYPES

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    import onnxruntime

    Provider = tuple[str, dict[str, str]]

CUDA, PROCESSOR = "CUDAExecutionProvider", "CPUExecutionProvider"
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
"""As torch is set here: float32 is float32, and no algorithm is chosen by how fast it was today."""
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def session(
    model: onnx.ModelProto, folder: Path, device: torch.device, name: str
) -> tuple[onnxruntime.InferenceSession, str | None]:
    """A session of onnxruntime on the graph, and a note where it answers elsewhere than was asked for.

    Args:
        model: weights that lie in other files stay there; onnxruntime reads them itself, for no message of
            protobuf may be larger than 2 GB.
        folder: in which those files lie.
        device: CUDA where that is asked for and there, else the processor.
        name: how errors call the file.

    Raises:
        InvalidModel: onnxruntime refuses the graph, or the graph takes something else than images of floats.
    """
    try:
        made, note = _made(model, folder, device)
    except Exception as error:  # onnxruntime has no common base of its own errors
        raise InvalidModel(
            f"onnxruntime cannot run `{name}`",
            detail=_told(error),
            remedy="onnx.checker.check_model, or another export",
        ) from None
    kind = made.get_inputs()[0].type
    if kind not in TYPES:
        raise InvalidModel(
            f"`{name}` takes {kind}, not images of floating-point numbers", remedy="an export before quantised inputs"
        )
    return made, note


def _made(
    model: onnx.ModelProto, folder: Path, device: torch.device
) -> tuple[onnxruntime.InferenceSession, str | None]:
    content = model.SerializeToString()
    if device.type != "cuda":
        return _opened(content, folder, [(PROCESSOR, {})]), None
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        note = "onnxruntime answers on the processor: it was installed without CUDA (pip install onnxruntime-gpu)"
        return _opened(content, folder, [(PROCESSOR, {})]), note
    wanted: list[Provider] = [(CUDA, {"device_id": str(device.index or 0), **CUDA_OPTIONS}), (PROCESSOR, {})]
    try:
        with redirect_stdout(StringIO()):  # it prints which libraries it misses
            onnxruntime.preload_dlls(msvc=False)  # those of CUDA that lie among Python's packages
        made = _opened(content, folder, wanted)
    except Exception as error:  # a driver too old, no memory left
        return _opened(content, folder, [(PROCESSOR, {})]), f"onnxruntime answers on the processor: {_told(error)}"
    if CUDA in made.get_providers():
        return made, None
    lost = "its CUDA libraries could not be loaded (pip install 'onnxruntime-gpu[cuda,cudnn]')"
    return made, f"onnxruntime answers on the processor: {lost}"


def _told(error: Exception) -> str:
    """What onnxruntime says, without the place in its own source and the signature of the function there."""
    text = re.sub(r"/\S+:\d+ .*?\) (?=[A-Z])", "", str(error).replace("\n", " "))
    return f"{type(error).__name__}: {text}"[:LONGEST]


def _opened(content: bytes, folder: Path, providers: list[Provider]) -> onnxruntime.InferenceSession:
    """Never falls back by itself, for it would say so on standard output, between the lines of a report."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    options.add_session_config_entry(WEIGHTS_FOLDER, str(folder))
    return onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
