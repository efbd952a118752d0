"""What a bug report needs to know about this machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from repaudit import __version__, cache

PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pydantic", "typer", "rich"),
    *("jinja2", "matplotlib", "onnx", "onnxruntime", "onnx2torch"),
)
BUILDS = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime")}
"""Distributions that bring the same package along."""
ABSENT = "absent"
NETWORK = "only for timm/torchvision names whose weights are not here yet; never with --offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Versions, devices, caches and data found."""

    line: str
    """All that matters, in one line to paste."""
    packages: dict[str, str]
    devices: tuple[str, ...]
    threads: int | None
    """Of torch; None where there is none that can be imported."""
    providers: tuple[str, ...]
    """What onnxruntime was built to run on, such as `CUDA` and `CPU`; empty where it cannot be imported."""
    cache_folder: Path
    cache_bytes: int
    cache_writable: bool
    cache_obstacle: str | None
    """Why nothing can be kept there."""
    data: tuple[str, ...]
    """Data references that would work here without a path."""
    network: str
    """When the network is used."""


def diagnose() -> Diagnosis:
    """Looks at this machine; reads nothing but sizes and versions, and leaves nothing behind."""
    packages = {name: _version(name) for name in PACKAGES}
    accelerators: list[str] = []
    threads = None
    try:
        accelerators, threads = _torch()
    except (ImportError, OSError):  # OSError: a library below it is missing
        if packages["torch"] != ABSENT:
            packages["torch"] += " (cannot be imported)"
    cores = os.cpu_count()
    devices = (*accelerators, f"cpu ({cores} core{'s' * (cores != 1)})")
    folder, obstacle = cache.folder(), cache.obstacle()
    told = "" if threads is None else f", {threads} thread{'s' * (threads != 1)}"
    line = (
        f"repaudit {__version__}, python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        + ", ".join(f"{name} {packages[name]}" for name in ("torch", "torchvision", "timm", "numpy"))
        + f", {devices[0]}{told}"
    )
    return Diagnosis(
        line=line,
        packages=packages,
        devices=devices,
        threads=threads,
        providers=_providers(packages),
        cache_folder=folder,
        cache_bytes=cache.size(),
        cache_writable=obstacle is None,
        cache_obstacle=obstacle,
        data=tuple(_data_found()),
        network=NETWORK,
    )


def _torch() -> tuple[list[str], int]:
    """Accelerators, and threads of the processor.

    Raises:
        ImportError: there is no torch, or it is broken.
        OSError: likewise.
    """
    import torch

    found = [
        f"cuda:{index} {torch.cuda.get_device_name(index)} "
        f"({torch.cuda.get_device_properties(index).total_memory / 2**30:.0f} GiB)"
        for index in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found, torch.get_num_threads()


def _providers(packages: dict[str, str]) -> tuple[str, ...]:
    """Also notes at its version that onnxruntime is broken, where it is."""
    if packages["onnxruntime"] == ABSENT:
        return ()
    try:
        import onnxruntime

        return tuple(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())
    except (ImportError, OSError):  # OSError: a library below it is missing
        packages["onnxruntime"] += " (cannot be imported)"
        return ()


def _data_found() -> list[str]:
    found = ["digits"]
    imagenet = os.environ.get("IMAGENET_DIR")
    if imagenet:
        state = "exists" if Path(imagenet).is_dir() else "does not exist"
        found.append(f"imagenet-val (IMAGENET_DIR={imagenet}, {state})")
    return found


def _version(name: str) -> str:
    for build in BUILDS.get(name, (name,)):
        try:
            return version(build) if build == name else f"{version(build)} ({build})"
        except PackageNotFoundError:
            continue
    return ABSENT
