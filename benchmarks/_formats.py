"""One network written in every format, and onnxruntime without anything around it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from repaudit.preprocessing import Preprocess


def export(network: nn.Module, folder: Path, name: str, side: int, batch: int | None = None) -> dict[str, Path]:
    """The files by suffix; of a fixed batch where one is given."""
    folder.mkdir()
    example = torch.zeros(batch or 2, 3, side, side)
    files = {suffix: folder / f"{name}.{suffix}" for suffix in ("pth", "pt2", "ts")}
    torch.save(network.eval().state_dict(), files["pth"])
    sizes = None if batch else ({0: torch.export.Dim("batch", min=1, max=4096)},)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=sizes), files["pt2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated; its files are still about
        torch.jit.trace(network, example).save(str(files["ts"]))
    return {**files, "onnx": export_onnx(network, folder, name, side, batch)}


def export_onnx(network: nn.Module, folder: Path, name: str, side: int, batch: int | None = None) -> Path:
    """The ONNX file alone, in the operators that torch exports by default."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated too
        torch.onnx.export(
            network.eval(),
            (torch.zeros(batch or 2, 3, side, side),),
            str(file),
            dynamo=False,
            input_names=["images"],
            dynamic_axes=None if batch else {"images": {0: "batch"}},
        )
    return file


def preprocess_file(path: Path, preprocess: Preprocess) -> Path:
    """For files that do not say how images are normalised."""
    size = "" if preprocess.size is None else f"size: {list(preprocess.size)}\n"
    path.write_text(f"mean: {list(preprocess.mean)}\nstd: {list(preprocess.std)}\n{size}")
    return path


def bare_onnx(path: Path, stored: torch.Tensor, preprocess: Preprocess, rows: int) -> Callable[[], object]:
    """A loop over uint8 images (n, c, h, w) that normalises them and asks for what the file itself answers with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    fixed = entry.shape[0] if isinstance(entry.shape[0], int) else None
    channels_last = entry.shape[-1] == len(preprocess.mean)

    def ask(images: np.ndarray) -> list[np.ndarray]:
        return [
            session.run(None, {entry.name: part})[0] for part in np.split(images, len(images) // (fixed or len(images)))
        ]

    def loop() -> None:
        for images in normalised(stored, preprocess, rows):
            planes = images.permute(0, 2, 3, 1).contiguous() if channels_last else images
            np.concatenate(ask(planes.numpy()))

    return loop


def bare_torch(network: nn.Module, stored: torch.Tensor, preprocess: Preprocess, rows: int) -> Callable[[], object]:
    """The same of a network of torch."""

    def loop() -> None:
        with torch.inference_mode():
            for images in normalised(stored, preprocess, rows):
                network(images).numpy()

    return loop


def normalised(stored: torch.Tensor, preprocess: Preprocess, rows: int):
    mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (preprocess.mean, preprocess.std))
    for part in stored.split(rows):
        yield (part.float() / 255 - mean) / std
