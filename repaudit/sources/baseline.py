"""`baseline:NAME`: networks for small images, as architectures to train and to load what was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel, nearest
from repaudit.sources import Draft, Source
from repaudit.sources._construct import construct, parameter_names

if TYPE_CHECKING:
    from repaudit.sources import ModelRequest


def open_baseline(name: str, request: ModelRequest) -> Draft:
    """There are no weights of that name.

    Raises:
        InvalidModel: always, with what to give instead.
    """
    build_baseline(name, request)
    raise InvalidModel(
        f"`baseline:{name}` is an architecture without weights",
        remedy=f"repaudit scan WEIGHTS.safetensors --arch baseline:{name}",
    )


def build_baseline(name: str, request: ModelRequest) -> Draft:
    """The network with random weights.

    Raises:
        InvalidModel: an unknown name, or an argument that it does not take.
    """
    from repaudit.networks import BUILDERS

    if name not in BUILDERS:
        near = nearest(name, BUILDERS, 1)
        raise InvalidModel(
            f"there is no baseline network `{name}`",
            detail="known: " + ", ".join(BUILDERS),
            remedy=f"baseline:{near[0] if near else next(iter(BUILDERS))}",
        )
    builder = BUILDERS[name]
    network = construct(builder, request.arguments, what=f"`baseline:{name}`", known=parameter_names(builder))
    return Draft(
        network=network,
        resolved=f"baseline:{name}",
        source="baseline",
        architecture=name,
        preprocess=None,
    )


source = Source(
    summary="networks for small images that `repaudit train` trains",
    examples=("weights.safetensors --arch baseline:resnet18",),
    open=open_baseline,
    build=build_baseline,
)
