"""Networks that come with repaudit: small enough to ship, good for a first look and for tests of a set-up."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from repaudit import shipped
from repaudit.digits_network import CLASSES, digits_network
from repaudit.errors import InvalidModel
from repaudit.preprocessing import Preprocess
from repaudit.sources._contract import Draft, Source

if TYPE_CHECKING:
    from repaudit.sources._contract import ModelRequest

DIGITS = "digits-cnn"


def open_embedded(name: str, request: ModelRequest) -> Draft:
    """The network of handwritten digits, made by `training/digits_demo.py`.

    Raises:
        InvalidModel: another name, or arguments, which a trained network cannot take.
    """
    from safetensors.torch import load_file

    if name != DIGITS or request.arguments:
        wrong = f"there is no embedded model `{name}`" if name != DIGITS else "an embedded model takes no arguments"
        raise InvalidModel(wrong, remedy=f"repaudit scan embedded:{DIGITS} --data digits")
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
    examples=(f"embedded:{DIGITS}",),
    open=open_embedded,
    build=None,
)
