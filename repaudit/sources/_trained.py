"""What `repaudit train` writes into a checkpoint, so that the file alone can be scanned."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from torch import nn

from repaudit.errors import InvalidModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from repaudit.sources._contract import ArgumentValue

KEY = "repaudit"
"""Of the safetensors metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The network that the weights belong to, and what it takes."""

    arch: str
    """As `--arch` takes it."""
    arguments: Mapping[str, ArgumentValue]
    heads: tuple[str, ...]
    """Layers that make the logits, as they are called without a bottleneck."""
    bottleneck: int | None
    """Width of a linear layer before each head."""
    preprocess: Mapping[str, object]
    """Keys as in `--preprocess FILE.yaml`."""
    class_names: tuple[str, ...] | None

    def as_json(self) -> dict[str, object]:
        """JSON values."""
        return asdict(self)


def read_trained(path: Path) -> Trained | None:
    """What a safetensors file says of its network; None where it says nothing.

    Raises:
        InvalidModel: it says something that this version does not know.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):  # reading the weights will say what is wrong
        return None
    if told is None:
        return None
    try:
        network = json.loads(told)["network"]
        names = network.pop("class_names")
        return Trained(
            **{**network, "heads": tuple(network["heads"])}, class_names=None if names is None else tuple(names)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidModel(
            f"{path}: its note on how it was trained cannot be read: {error}",
            remedy=f"repaudit scan {path} --arch ARCH --preprocess FILE.yaml",
        ) from None


def insert_bottleneck(network: nn.Module, heads: Sequence[str], width: int) -> tuple[str, ...]:
    """Puts a linear layer before each head, which then works on `width` features (RS, appendix H).

    Args:
        network: changed in place.
        heads: names of linear layers.
        width: features that are left.

    Returns:
        The names of the heads afterwards.

    Raises:
        InvalidModel: a head is no linear layer.
    """
    for name in heads:
        layer = network.get_submodule(name)
        if not isinstance(layer, nn.Linear):
            raise InvalidModel(
                f"`{name}` is a {type(layer).__name__}; a bottleneck goes before a linear layer",
                remedy="another architecture, or no --bottleneck",
            )
        narrow = nn.Sequential(nn.Linear(layer.in_features, width), nn.Linear(width, layer.out_features))
        network.set_submodule(name, narrow)
    return tuple(f"{name}.1" for name in heads)
