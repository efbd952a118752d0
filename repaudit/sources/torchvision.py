"""torchvision's classifiers: `torchvision:NAME/WEIGHTS`, where WEIGHTS may be left out for the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from repaudit.errors import InvalidModel, nearest
from repaudit.sources import Draft, Source
from repaudit.sources._bring import bring_to, cached_download
from repaudit.sources._construct import construct, parameter_names
from repaudit.sources._imagenet import imagenet_wnids
from repaudit.sources._preprocess import from_torchvision

if TYPE_CHECKING:
    from torch import nn

    from repaudit.sources import ModelRequest


class _Entry(Protocol):
    """What is used of `torchvision.models.Weights`."""

    url: str
    name: str

    def transforms(self) -> object: ...


@dataclass(frozen=True, slots=True)
class ChosenWeights:
    """An entry of torchvision's weights enumerations."""

    entry: _Entry
    model: str
    categories: int

    @property
    def transforms(self) -> object:
        """The evaluation transform that belongs to the weights."""
        return self.entry.transforms()

    @property
    def resolved(self) -> str:
        """Such as `torchvision:resnet50/IMAGENET1K_V2`."""
        return f"torchvision:{self.model}/{self.entry.name}"


def open_torchvision(name: str, request: ModelRequest) -> Draft:
    """A network with the weights that torchvision publishes.

    Raises:
        InvalidModel: an unknown name or weights, or a file that is neither in the cache nor downloadable.
    """
    chosen = weights_named(name)
    network = _download(chosen, request)
    return _draft(network, chosen, chosen.resolved)


def build_torchvision(name: str, request: ModelRequest) -> Draft:
    """The network of a torchvision name with random weights, for `--arch`.

    Raises:
        InvalidModel: an unknown name, or an argument that the architecture does not take.
    """
    chosen = weights_named(name)
    return _draft(_construct(chosen, request, None), chosen, f"torchvision:{chosen.model}")


def weights_named(name: str) -> ChosenWeights:
    """The weights of `resnet50`, `resnet50/IMAGENET1K_V2` or `ResNet50_Weights.IMAGENET1K_V2`.

    Raises:
        InvalidModel: torchvision has no such classifier or weights; the nearest names are given.
    """
    from torchvision import models

    model, _, asked = name.partition("/")
    known = models.list_models(module=models)
    by_enumeration = {models.get_model_weights(entry).__name__: entry for entry in known} if "_Weights" in model else {}
    if by_enumeration:
        enumeration, _, asked = name.partition(".")
        model = by_enumeration.get(enumeration, enumeration)
    if model not in known:
        near = nearest(model, known)
        raise InvalidModel(
            f"torchvision has no classifier `{model}`",
            detail="nearest: " + (", ".join(near) or "none"),
            remedy=f"torchvision:{near[0]}" if near else "a name of `torchvision.models.list_models()`",
        )
    weights = models.get_model_weights(model)
    entries = weights.__members__
    if asked and asked not in entries:
        raise InvalidModel(
            f"torchvision's `{model}` has no weights `{asked}`",
            detail="it has " + ", ".join(entries),
            remedy=f"torchvision:{model}/{(nearest(asked, entries, 1) or ['DEFAULT'])[0]}",
        )
    entry = weights[asked or "DEFAULT"]
    return ChosenWeights(entry, model, len(entry.meta["categories"]))


def _construct(chosen: ChosenWeights, request: ModelRequest, weights: _Entry | None) -> nn.Module:
    from torchvision import models

    def make(**arguments: object) -> object:
        return models.get_model(chosen.model, weights=weights, **arguments)

    builder = models.get_model_builder(chosen.model)
    what = f"torchvision's `{chosen.model}`"
    return construct(make, request.arguments, what=what, known=[*parameter_names(builder), "num_classes"])


def _download(chosen: ChosenWeights, request: ModelRequest) -> nn.Module:
    cached, remedy = cached_download(chosen.entry.url), bring_to(chosen.entry.url)
    if request.offline and not cached.is_file():
        raise InvalidModel(f"--offline, and the weights of `{chosen.resolved}` are not in the cache", remedy=remedy)
    try:
        return _construct(chosen, request, chosen.entry)
    except InvalidModel as failure:
        cause = failure.__cause__
        if isinstance(cause, OSError):
            raise InvalidModel(
                f"the weights of `{chosen.resolved}` are not in the cache and could not be downloaded",
                detail=f"{type(cause).__name__}: {cause}",
                remedy=remedy,
            ) from cause
        if cached.is_file() and not request.arguments:
            raise InvalidModel(
                f"the cached weights of `{chosen.resolved}` do not load", detail=failure.detail, remedy=f"rm {cached}"
            ) from cause
        raise


def _draft(network: nn.Module, chosen: ChosenWeights, resolved: str) -> Draft:
    return Draft(
        network=network,
        resolved=resolved,
        source="torchvision",
        architecture=chosen.model,
        preprocess=from_torchvision(chosen.transforms, chosen.resolved),
        class_ids=imagenet_wnids() if chosen.categories == 1000 else None,
    )


source = Source(
    summary="torchvision's classifiers with their published weights",
    examples=("torchvision:resnet50", "torchvision:resnet50/IMAGENET1K_V1"),
    open=open_torchvision,
    build=build_torchvision,
)
