"""Networks that come with repaudit: small enough to ship, good for a first look and for tests of a set-up."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from repaudit import shipped
from repaudit.digits_network import CLASSES, digits_network
from repaudit.errors import InvalidModel, nearest
from repaudit.preprocessing import Preprocess
from repaudit.sources._contract import Draft, Source
from repaudit.sources.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.sources._contract import ModelRequest

DIGITS = "digits-cnn"


def open_embedded(name: str, request: ModelRequest) -> Draft:
    """The network of the demo, made by `training/digits_demo.py`, or a baseline, made by the recipe `digits`.

    Raises:
        InvalidModel: another name, or arguments, which a trained network cannot take.
    """
    if request.arguments:
        raise InvalidModel(
            "an embedded model takes no arguments", remedy=f"repaudit scan embedded:{name} --data digits"
        )
    if name == DIGITS:
        return _digits()
    path = _baselines() / f"{name}.safetensors"
    if name not in baselines():
        known = [DIGITS, *baselines()]
        near = nearest(name, known, 1)
        raise InvalidModel(
            f"there is no embedded model `{name}`",
            detail=f"known: {', '.join(known)}",
            remedy=f"repaudit scan embedded:{near[0] if near else DIGITS} --data digits",
        )
    draft = open_checkpoint(str(path), replace(request, ref=str(path)))
    return replace(draft, resolved=f"embedded:{name}", source="embedded")


def baselines() -> tuple[str, ...]:
    """One network of digits for each way to make labels soft."""
    return tuple(sorted(path.stem for path in _baselines().glob("*.safetensors")))


def _baselines() -> Path:
    return shipped.assets() / "baselines"


def _digits() -> Draft:
    from safetensors.torch import load_file

    path = shipped.assets() / f"{DIGITS}.safetensors"
    network = digits_network()
    network.load_state_dict(load_file(path))
    return Draft(
        network=network,
        resolved=f"embedded:{DIGITS}",
        source="embedded",
        architecture="digits_network",
        preprocess=Preprocess(mean=(0.0,), std=(1.0,), size=(8, 8), source=f"embedded:{DIGITS}"),
        class_ids=tuple(str(digit) for digit in range(CLASSES)),
        files={path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
    )


source = Source(
    summary="a network that ships with repaudit",
    examples=(f"embedded:{DIGITS}", "embedded:digits-vs"),
    open=open_embedded,
    build=None,
)
