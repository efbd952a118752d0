"""Pretrained models by reference; one source a file, whose name is the prefix of its references.

A source is a module of this folder with a constant `source`. Files are found by listing the folder and
imported only when used. A reference belongs to exactly one source: `[source:]name`, an existing path by its
suffix, and a bare name is timm's.
"""

from __future__ import annotations

import zipfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel, nearest
from repaudit.sources._contract import ArgumentValue, Draft, ModelRequest, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from repaudit.classifier import Classifier
    from repaudit.preprocessing import Preprocess

__all__ = [
    "Draft",
    "ModelRequest",
    "Source",
    "build_architecture",
    "classifier_of",
    "is_script",
    "load_model",
    "names",
    "open_model",
    "source_named",
]

_PROGRAM_SUFFIXES = (".pt2", ".ts", ".torchscript")
CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".tar", ".th")
_DATA_SUFFIXES = {".npz": "images", ".csv": "images and labels"}
_FOREIGN_SUFFIXES = (".ckpt", ".h5", ".keras", ".pb", ".tflite")
_TIMM_PREFIXES = ("hf-hub", "hf_hub", "local-dir")


def names() -> list[str]:
    """Prefixes of all sources, without importing one."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def source_named(name: str) -> Source:
    """The source whose references start with `name:`.

    Raises:
        InvalidModel: there is none; the nearest prefix is named.
    """
    if name not in names():
        near = nearest(name, [*names(), *_TIMM_PREFIXES], 1)
        raise InvalidModel(
            f"there is no model source `{name}:`",
            detail="known: " + ", ".join(f"{known}:" for known in [*names(), "hf-hub", "local-dir"]),
            remedy=f"{near[0]}:…" if near else "repaudit list models",
        )
    source = import_module(f"repaudit.sources.{name}").source
    if not isinstance(source, Source):
        raise TypeError(f"repaudit/sources/{name}.py must define `source = Source(…)`")
    return source


def open_model(request: ModelRequest) -> Classifier:
    """Loads a model, proves its linear head and says what its name resolved to.

    Raises:
        InvalidModel: an unknown name, a file that is no checkpoint, weights that do not fit or are not finite,
            unknown preprocessing, or a network that does not answer with logits.
    """
    from repaudit.sources._assemble import assemble  # here: `names` is asked without torch
    from repaudit.sources._preprocess import read_preprocess

    prefix, name = _route(request.ref)
    if request.arch is not None and prefix != "checkpoint":
        whole = "is a TorchScript or exported program" if prefix == "exported" else "names a whole model"
        raise InvalidModel(
            f"`--arch {request.arch}` belongs to a checkpoint file, but `{request.ref}` {whole}",
            remedy=f"--arch left out, or a checkpoint ({' '.join(CHECKPOINT_SUFFIXES)}) as the model",
        )
    if request.preprocess is not None:
        read_preprocess(request.preprocess)  # refused before a network is loaded, or worse, downloaded
    classifier = assemble(source_named(prefix).open(name, request), request)
    card = classifier.card
    request.progress.note(f"{request.ref} -> {card.resolved} (sha256 {card.weights_sha256[:12]})")
    for note in card.notes:
        request.progress.note(f"  {note}")
    for notice in card.notices:
        request.progress.note(f"warning: {notice.message}")
    return classifier


def build_architecture(request: ModelRequest) -> Draft:
    """The network of `--arch`, without weights.

    Raises:
        InvalidModel: no or an unknown architecture, or an argument that it does not take.
    """
    if request.arch is None:
        raise InvalidModel(
            f"`{request.ref}` holds weights, not the network they belong to",
            remedy=f"repaudit scan {request.ref} --arch resnet50   (or torchvision:NAME, or py:FILE.py:factory)",
        )
    prefix, name = _route(request.arch)
    build = source_named(prefix).build
    if build is None:
        raise InvalidModel(
            f"`--arch {request.arch}` is no architecture",
            remedy="--arch with a timm name, torchvision:NAME or py:FILE.py:factory",
        )
    return build(name, request)


def load_model(
    ref: str,
    *,
    arch: str | None = None,
    device: str | torch.device = "cpu",
    preprocess: str | None = None,
    arguments: Mapping[str, ArgumentValue] | None = None,
    trust_pickle: bool = False,
    offline: bool = False,
) -> Classifier:
    """`open_model` for scripts and notebooks.

    Args:
        ref: `[source:]name` or a path, such as `resnet50.a1_in1k`, `weights.pth`, `py:net.py:make`.
        arch: the network of a checkpoint.
        device: where the classifier runs.
        preprocess: `timm:NAME`, `torchvision:NAME/WEIGHTS` or a YAML file.
        arguments: keyword arguments of the architecture.
        trust_pickle: run the code that a pickled checkpoint brings along.
        offline: look only into the caches.

    Raises:
        InvalidModel: as `open_model`.
    """
    import torch

    from repaudit.progress import SilentProgress

    return open_model(
        ModelRequest(
            ref=ref,
            arch=arch,
            arguments=dict(arguments or {}),
            preprocess=preprocess,
            device=torch.device(device),
            trust_pickle=trust_pickle,
            offline=offline,
            progress=SilentProgress(),
        )
    )


def classifier_of(
    network: nn.Module,
    *,
    preprocess: Preprocess,
    ref: str = "network",
    class_ids: tuple[str, ...] | None = None,
    device: str | torch.device = "cpu",
) -> Classifier:
    """A classifier of a network that is in memory already; its head is proved like any other.

    Args:
        network: takes normalised images (b, c, h, w), returns logits (b, classes); put into eval mode and frozen.
        preprocess: normalisation and size; pixels in [0, 1] go in.
        ref: how reports call it.
        class_ids: stable names of the classes, where known.
        device: where it runs.

    Raises:
        InvalidModel: weights or outputs are not finite, or the network does not answer with (b, classes).
    """
    import torch

    from repaudit.progress import SilentProgress
    from repaudit.sources._assemble import assemble

    draft = Draft(
        network=network,
        resolved=ref,
        source="memory",
        architecture=type(network).__name__,
        preprocess=preprocess,
        class_ids=class_ids,
    )
    request = ModelRequest(
        ref=ref,
        arch=None,
        arguments={},
        preprocess=None,
        device=torch.device(device),
        trust_pickle=False,
        offline=True,
        progress=SilentProgress(),
    )
    return assemble(draft, request)


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript archive, which brings its own code, and no checkpoint."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(part.split("/")[1:2] == ["code"] for part in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # torn: told by who reads it
        return False


def _route(ref: str) -> tuple[str, str]:
    prefix, colon, name = ref.partition(":")
    if colon and prefix in _TIMM_PREFIXES:
        return "timm", ref
    if colon and prefix in names():
        return prefix, name
    path = Path(ref)
    if path.suffix in _PROGRAM_SUFFIXES or (path.suffix in CHECKPOINT_SUFFIXES and is_script(path)):
        return "exported", ref
    if path.suffix in CHECKPOINT_SUFFIXES:
        return "checkpoint", ref
    if path.suffix == ".onnx":
        return "onnx", ref
    if path.suffix in _FOREIGN_SUFFIXES or path.is_file():
        raise _no_model(ref, path)
    if path.is_dir() and (len(path.parts) > 1 or (path / "config.json").exists()):
        raise InvalidModel(f"`{ref}` is a folder", remedy=f"local-dir:{ref}   (a folder with timm's config.json)")
    if colon:
        source_named(prefix)
    if "/" in ref:
        raise InvalidModel(
            f"`{ref}` is neither a file here nor a timm name",
            remedy=f"hf-hub:{ref} for the Hugging Face hub, local-dir:{ref} for a folder",
        )
    return "timm", ref


def _no_model(ref: str, path: Path) -> InvalidModel:
    """A file that no source reads."""
    if path.suffix in _DATA_SUFFIXES:
        return InvalidModel(
            f"`{ref}` is a file of {_DATA_SUFFIXES[path.suffix]}, not a model",
            remedy=f"repaudit scan MODEL --data {path.suffix[1:]}:{ref}",
        )
    return InvalidModel(
        f"`{ref}`: this version reads checkpoints and exported programs, not `{path.suffix or path.name}` files",
        detail="it reads " + " ".join(CHECKPOINT_SUFFIXES) + " .onnx .pt2 .ts, and networks made by py:FILE.py:factory",
        remedy="the checkpoint from which the file was exported, with --arch",
    )
