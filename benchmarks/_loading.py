"""One model loaded in its own process: `python _loading.py own|ours KIND FILE` prints processor seconds as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from _meter import Clock

LIBRARIES = {
    "pth": (("torch", "timm"), ("torch", "timm")),
    "onnx": (("onnxruntime",), ("torch", "onnxruntime", "onnx", "onnx2torch")),
    "pt2": (("torch",), ("torch",)),
    "ts": (("torch",), ("torch",)),
}
"""What loading needs by itself, and what ours needs."""
PARTS = {
    "repaudit.sources._assemble": {
        "state_sha256": "hash of the weights",
        "_refuse_broken_weights": "finite weights",
        "_probe": "proof batch",
        "_watched": "gradient and operations",
        "find_head": "head",
        "uncover_logits": "softmax",
    },
    "repaudit.sources._state": {"file_sha256": "hash of the file"},
    "repaudit.sources._onnx_file": {"file_sha256": "hash of the file"},
    "repaudit.sources.checkpoint": {"read_state": "reading", "build_architecture": "building", "fit": "filling"},
    "repaudit.sources.onnx": {
        "read_onnx": "reading",
        "weights_sha256": "hash of the weights",
        "session": "session",
        "cut": "cut",
        "twin_of": "twin",
        "differs": "proof of the twin",
        "prove_head": "head",
        "_trial": "trial",
    },
    "repaudit.sources.exported": {"file_sha256": "hash of the file", "ended": "end of the graph", "prove": "head"},
}


def loaded(who: str, kind: str, file: Path) -> dict[str, object]:
    """What `main` prints, of a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, who, kind, str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def own(kind: str, file: Path) -> None:
    if kind == "pth":
        import torch
        from timm import create_model

        create_model(file.stem).load_state_dict(torch.load(file, weights_only=True))
    elif kind == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    elif kind == "pt2":
        import torch

        torch.export.load(str(file)).module()
    else:
        import torch

        torch.jit.load(str(file))


def ours(kind: str, file: Path) -> None:
    from repaudit.sources import load_model

    load_model(
        str(file),
        arch=file.stem if kind == "pth" else None,
        preprocess=str(file.with_name("preprocess.yaml")),
    )


def main(who: str, kind: str, file: Path) -> None:
    started = time.process_time()
    for library in LIBRARIES[kind][who == "ours"]:
        import_module(library)
    imported = time.process_time()
    clock = Clock()
    with ExitStack() as stack:
        if who == "ours":
            import torch

            torch.set_num_threads(1)
            for name, parts in PARTS.items():
                room = import_module(name)
                for function, part in parts.items():
                    if hasattr(room, function):
                        stack.enter_context(patch.object(room, function, clock.within(part, getattr(room, function))))
        begun = time.process_time()
        {"own": own, "ours": ours}[who](kind, file)
        seconds = time.process_time() - begun
    clock.seconds["rest"] = clock.seconds.pop("scheduling", 0.0)
    print(json.dumps({"imports": imported - started, "seconds": seconds, "parts": clock.seconds}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
