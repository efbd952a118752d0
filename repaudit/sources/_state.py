"""Weights as they lie in files: nested, wrapped, pickled in old ways, or not weights at all."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from repaudit.archives import GROWTH, HARMLESS, bomb
from repaudit.errors import InvalidModel
from repaudit.sources import is_script

NESTED_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net")
"""Where training scripts put the weights; averaged weights first, as timm does."""
CHECKPOINT_HEADS = (b"PK", b"\x80")
"""First bytes of all that `torch.save` writes: a zip archive, or a pickle of protocol 2 or later."""
HEAD = 16
LONGEST = 300
_NAMED = re.compile(r"GLOBAL ([\w.]+)|<class '([\w.]+)'>")
"""What torch's own message, whose advice is to allow it, says that a pickle asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """Tensors of a checkpoint by name, on the CPU, and how they were reached."""

    tensors: Mapping[str, torch.Tensor]
    notes: tuple[str, ...]
    sha256: str
    """Of the file."""
    whole: str | None = None
    """Class of the network that was pickled as a whole; None where weights alone were stored."""


def read_state(path: Path, *, trust_pickle: bool) -> StoredState:
    """Reads a checkpoint file without running code from it, unless that is allowed.

    Args:
        path: a safetensors file, or whatever `torch.save` ever wrote (zip or legacy pickle).
        trust_pickle: allow unpickling of anything.

    Raises:
        InvalidModel: the file is missing, empty, truncated, no checkpoint, holds no weights, would run code or would
            fill the memory.
    """
    if not path.is_file():
        raise InvalidModel(
            f"there is no file `{path}`" if not path.exists() else f"`{path}` is a folder, not a checkpoint",
            remedy="the path of a checkpoint" if not path.exists() else f"local-dir:{path}",
        )
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise InvalidModel(f"`{path}` cannot be read", detail=str(error), remedy=f"chmod u+r {path}") from None
    refuse_bomb(path)
    notes: list[str] = []
    if path.suffix == ".safetensors":
        content: object = _read_safetensors(path)
    else:
        content = _read_pickle(path, trust_pickle, notes)
    mapping, whole = _unnest(content, path, notes)
    return StoredState(tensors=_tensors(mapping, path, notes), notes=tuple(notes), sha256=digest, whole=whole)


def refuse_bomb(path: Path) -> None:
    """Refuses an archive that would grow far beyond its size, before anything of it is unpacked.

    Raises:
        InvalidModel: with both sizes.
    """
    grown = bomb(path)
    if grown is not None:
        raise InvalidModel(
            f"`{path}` is not unpacked: {grown}",
            detail="torch stores weights as they are; an archive that grows so much was made to fill a memory",
            remedy="the file from whoever trained the network, and its checksum",
        )


def trusted(path: Path, danger: str | None, *, trust_pickle: bool) -> tuple[str, ...]:
    """The note on a program that may run code, where that is allowed.

    Args:
        path: of the program.
        danger: what of it may run code, in words; None where nothing does.
        trust_pickle: allow it.

    Raises:
        InvalidModel: it may run code and is not trusted.
    """
    if danger is None:
        return ()
    if trust_pickle:
        return (f"loaded {path.name}, which may run any code (--trust-pickle)",)
    raise InvalidModel(
        f"`{path}` cannot be read without running code from it",
        detail=danger,
        remedy="--trust-pickle if you trust whoever made the file, or an ONNX export, which runs no code",
    )


def file_sha256(path: Path) -> str:
    """sha256 of a file, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(network: nn.Module) -> str:
    """sha256 over names, dtypes, shapes and bytes of a network's state, whatever file it came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            stored = tensor.detach().cpu().contiguous()
            digest.update(f"{name}\0{stored.dtype}\0{tuple(stored.shape)}\0".encode())
            digest.update(stored.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, ValueError, OSError) as error:
        raise _unreadable(path, error, "safetensors") from None


def _read_pickle(path: Path, trust_pickle: bool, notes: list[str]) -> object:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless_globals()):
            warnings.filterwarnings("ignore", category=UserWarning, message=".*looks like a TorchScript archive.*")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _is_refusal(error) and not is_script(path):
            if trust_pickle:
                notes.append(f"unpickled {path.name}, which may run any code (--trust-pickle)")
                return _unpickle(path)
            raise _refused(path, error) from None
        raise _not_weights(path, error) from None
    except Exception as error:  # the unpickler fails on foreign bytes in any way it likes
        raise _not_weights(path, error) from None


def _harmless_globals() -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    """Plain data that training scripts leave beside the weights: parsed options and numpy scalars."""
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    scalar: Callable[..., object] = cast("Callable[..., object]", np.float64(0).__reduce__()[0])
    return [
        argparse.Namespace,
        np.dtype,
        *kinds,
        *((scalar, f"numpy.{place}.multiarray.scalar") for place in ("core", "_core")),
    ]


def _unpickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise InvalidModel(
            f"`{path}` cannot be unpickled",
            detail=f"{type(error).__name__}: {error}",
            remedy="the same command where the modules named in the file can be imported, or a plain state dict",
        ) from error


def _unnest(content: object, path: Path, notes: list[str]) -> tuple[Mapping[object, object], str | None]:
    """The weights by name, and the class of the whole network that held them, if one did."""
    whole = None
    while True:
        if isinstance(content, nn.Module):
            whole = type(content).__name__
            notes.append(f"{path.name} holds a whole {whole}; its weights are used")
            content = content.state_dict()
        if not isinstance(content, Mapping):
            raise InvalidModel(
                f"`{path}` holds {type(content).__name__}, not weights by name",
                remedy="torch.save(network.state_dict(), 'weights.pth')",
            )
        inside = [key for key in NESTED_KEYS if isinstance(content.get(key), Mapping | nn.Module)]
        if not inside:
            return content, whole
        others = "" if len(inside) == 1 else "; not used: " + ", ".join(f"`{key}`" for key in inside[1:])
        notes.append(f"weights under `{inside[0]}` of {path.name}{others}")
        content = content[inside[0]]


def _tensors(content: Mapping[object, object], path: Path, notes: list[str]) -> dict[str, torch.Tensor]:
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        shown = ", ".join(f"`{name}`" for name in list(content)[:8]) or "none"
        raise InvalidModel(
            f"`{path}` holds no weights",
            detail=f"its keys: {shown}; weights are looked for at the top and under {', '.join(NESTED_KEYS)}",
            remedy="torch.save(network.state_dict(), 'weights.pth')",
        )
    left_out = [str(name) for name in content if str(name) not in tensors]
    if left_out:
        notes.append(f"{len(left_out)} entries beside the weights ignored: {', '.join(left_out[:4])}")
    for name, tensor in tensors.items():
        _refuse_inflated(name, tensor, path)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InvalidModel(
                f"`{path}`: weights `{name}` hold NaN or infinity",
                detail=f"{int((~torch.isfinite(tensor)).sum())} of {tensor.numel()} values are not finite",
                remedy="an earlier checkpoint of the same training: this one diverged",
            )
    return tensors


def _refuse_inflated(name: str, tensor: torch.Tensor, path: Path) -> None:
    """A pickle may say that a few stored numbers are a tensor of any size."""
    if tensor.layout is not torch.strided:
        return
    stored, claimed = tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size()
    if claimed > max(HARMLESS, GROWTH * stored):
        raise InvalidModel(
            f"`{path}` is not unpacked: `{name}` makes {claimed:,} bytes of {stored:,}",
            remedy="the file from whoever trained the network, and its checksum",
        )


def _is_refusal(error: pickle.UnpicklingError) -> bool:
    """Whether the restricted unpickler met something it may not run, rather than bytes that are no pickle."""
    text = str(error)
    return any(mark in text for mark in ("Unsupported global", "Unsupported class", "Trying to ", "Can only "))


def _refused(path: Path, error: pickle.UnpicklingError) -> InvalidModel:
    named = _NAMED.search(str(error))
    asked = "more than" if named is None else f"`{(named[1] or named[2])[:LONGEST]}`, which is code, beside"
    return InvalidModel(
        f"`{path}` cannot be read without running code from it",
        detail=f"it asks for {asked} tensors and plain data",
        remedy="--trust-pickle if you trust whoever made the file, or weights saved as safetensors",
    )


def _not_weights(path: Path, error: Exception) -> InvalidModel:
    if path.stat().st_size == 0:
        return InvalidModel(f"`{path}` is empty", remedy="download or copy the file again")
    if is_script(path):
        return InvalidModel(
            f"`{path}` is a TorchScript program, not a checkpoint",
            remedy=f"repaudit scan {path} without --arch, or the state dict from which it was made",
        )
    with path.open("rb") as file:
        head = file.read(HEAD + 1)
    if not head.startswith(CHECKPOINT_HEADS):
        seen = head[:HEAD].decode("ascii", "backslashreplace") + ("…" if len(head) > HEAD else "")
        return InvalidModel(
            f"`{path}` is no PyTorch checkpoint: it begins with `{seen}`",
            remedy="download the file itself again (not a page about it, nor a Git LFS pointer to it)",
        )
    return _unreadable(path, error, "PyTorch")


def _unreadable(path: Path, error: Exception, kind: str) -> InvalidModel:
    # Torch puts its advice to load with weights_only=False, which runs code, before what went wrong.
    told = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    reason = (told.splitlines() or [type(error).__name__])[0]
    return InvalidModel(
        f"`{path}` is no {kind} checkpoint, or only part of one ({path.stat().st_size:,} bytes)",
        detail=reason if len(reason) <= LONGEST else f"{reason[:LONGEST]}…",
        remedy="download or copy the file again, and compare its size and checksum with its source",
    )
