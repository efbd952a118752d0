"""timm models: bare names, `hf-hub:` repositories and `local-dir:` folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from repaudit.errors import InvalidModel, nearest
from repaudit.sources import Draft, Source
from repaudit.sources._bring import cached_download, out_of_reach
from repaudit.sources._construct import construct, parameter_names
from repaudit.sources._fit import fit
from repaudit.sources._hub import cache_only, is_network_failure, no_downloads, quiet, silence
from repaudit.sources._imagenet import imagenet_wnids
from repaudit.sources._preprocess import from_timm
from repaudit.sources._state import file_sha256, read_state

if TYPE_CHECKING:
    import torch
    from torch import nn

    from repaudit.preprocessing import Preprocess
    from repaudit.sources import ModelRequest

    Converter = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]

_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
_FOLDER_SUFFIXES = (".safetensors", ".pth", ".pth.tar", ".bin")


def open_timm(name: str, request: ModelRequest) -> Draft:
    """A network with its published weights, or those of a folder.

    Raises:
        InvalidModel: an unknown name, weights that cannot be had here, or arguments that would leave parts of
            the network with random weights.
    """
    prefix, _, place = name.partition(":")
    if prefix == "local-dir":
        return _open_folder(Path(place), request)
    if prefix not in ("hf-hub", "hf_hub"):
        config = pretrained_config(name)
        if not (config.get("url") or config.get("hf_hub_id")):
            raise InvalidModel(
                f"timm has no pretrained weights for `{name}`", remedy=f"repaudit scan WEIGHTS.pth --arch {name}"
            )
        _refuse_random_parts(config, request, name)
    network = _reached(name, request, pretrained=True)
    if prefix in ("hf-hub", "hf_hub"):
        _refuse_random_parts(_config_of(network), request, name)
    return _draft(network, name, request, resolved=name if ":" in name else None)


def build_timm(name: str, request: ModelRequest) -> Draft:
    """The network of a timm name with random weights, for `--arch`.

    Raises:
        InvalidModel: an unknown name, or an argument that the architecture does not take.
    """
    if ":" not in name:
        _refuse_unknown(name)
    resolved = name if ":" in name else f"timm:{name}"
    return _draft(_reached(name, request, pretrained=False), name, request, resolved=resolved)


def pretrained_config(name: str) -> Mapping[str, object]:
    """The configuration (input size, mean, std, …) of timm's `architecture[.tag]`.

    Raises:
        InvalidModel: timm does not know the name; the nearest ones are named.
    """
    import timm

    _refuse_unknown(name)
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return {} if config is None else cast("Mapping[str, object]", config.to_dict())  # type: ignore[no-untyped-call]


def _refuse_unknown(name: str) -> None:
    import timm

    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture):
        try:
            timm.get_pretrained_cfg(name, allow_unregistered=False)
            return
        except RuntimeError:
            tags = [known.partition(".")[2] for known in timm.list_models(f"{architecture}.*", pretrained=True)]
            near = nearest(tag, tags, 1) or tags[:1]
            raise InvalidModel(
                f"timm's `{architecture}` has no weights tagged `{tag}`",
                detail="it has " + (", ".join(tags[:12]) or "none"),
                remedy=f"{architecture}.{near[0]}" if near else f"WEIGHTS.pth --arch {architecture}",
            ) from None
    near = nearest(architecture, timm.list_models())
    raise InvalidModel(
        f"timm knows no model `{name}`",
        detail="nearest: " + (", ".join(near) or "none"),
        remedy=near[0]
        if near
        else "a name of `timm.list_models()`, or torchvision:NAME, hf-hub:NAME, py:FILE.py:factory",
    )


def _construct(name: str, request: ModelRequest, *, pretrained: bool) -> nn.Module:
    import timm

    create: Callable[..., object] = timm.create_model

    def make(**arguments: object) -> object:
        return create(name, pretrained=pretrained, **arguments)

    return construct(make, request.arguments, what=f"timm's `{name}`", known=_known_arguments(name))


def _known_arguments(name: str) -> list[str]:
    """Keyword arguments of an architecture's class, as far as its module shows them."""
    import timm

    architecture = name.rpartition(":")[2].partition(".")[0]
    if not timm.is_model(architecture):
        return []
    module = sys.modules[timm.model_entrypoint(architecture).__module__]
    classes = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    placement = {"device", "dtype"}
    return sorted({argument for kind in classes for argument in parameter_names(kind)} - placement)


def _reached(name: str, request: ModelRequest, *, pretrained: bool) -> nn.Module:
    """The network of a name; downloads what the caches lack, and says what to bring where that fails.

    Of a name on the hub even a network without weights needs a file: the configuration.
    """
    if name.startswith("local-dir:"):
        return _construct(name, request, pretrained=pretrained)
    config = {} if ":" in name else pretrained_config(name)
    on_the_hub = ":" in name or bool(pretrained and config.get("hf_hub_id"))
    if pretrained and request.offline and not on_the_hub and not cached_download(str(config.get("url"))).is_file():
        raise out_of_reach(name, config, None, offline=True)
    mute = None
    with ExitStack() as stack:
        stack.enter_context(quiet())
        if request.offline:
            stack.enter_context(no_downloads())
        elif on_the_hub and (mute := silence()) is not None:
            stack.enter_context(cache_only())
        try:
            return _construct(name, request, pretrained=pretrained)
        except InvalidModel as failure:
            cause = mute or failure.__cause__
            if failure.__cause__ is None or cause is None or not is_network_failure(failure.__cause__):
                raise
            raise out_of_reach(name, config, cause, offline=request.offline) from cause


def _refuse_random_parts(config: Mapping[str, object], request: ModelRequest, name: str) -> None:
    """Stops timm from replacing a head or a stem that does not fit the weights by a random one."""
    stem = cast("tuple[int, ...]", config.get("input_size") or (3, 224, 224))[0]
    for argument, published in (("num_classes", config.get("num_classes")), ("in_chans", stem)):
        asked = request.arguments.get(argument, published)
        if asked != published:
            raise InvalidModel(
                f"`{name}` was trained with {argument}={published}, not {asked}",
                detail="timm would put random weights there, and nothing measured would mean anything",
                remedy=f"the command without --set model.{argument}, or your own WEIGHTS.pth --arch {name}",
            )
    if config.get("num_classes") == 0:
        raise InvalidModel(
            f"`{name}` is a backbone without classes: it predicts nothing that could be audited",
            remedy="a fine-tuned model, such as a name ending in `_in1k`",
        )


def _open_folder(folder: Path, request: ModelRequest) -> Draft:
    if not (folder / "config.json").is_file():
        raise InvalidModel(
            f"`{folder}` has no config.json" if folder.is_dir() else f"there is no folder `{folder}`",
            remedy="local-dir:FOLDER with config.json and model.safetensors, as timm saves them for the hub",
        )
    weights = _folder_weights(folder)
    stored = read_state(weights, trust_pickle=request.trust_pickle)
    network = _construct(f"local-dir:{folder}", request, pretrained=False)
    draft = _draft(network, f"local-dir:{folder}", request, resolved=f"timm:local-dir:{folder.name}")
    _refuse_random_parts(_config_of(network), request, f"local-dir:{folder}")
    notes = (*stored.notes, *fit(draft, stored.tensors, weights.name))
    files = {weights.name: stored.sha256, "config.json": file_sha256(folder / "config.json")}
    resolved = f"{draft.resolved} ({weights.name})"
    return replace(draft, resolved=resolved, files=files, notes=(*draft.notes, *notes))


def _folder_weights(folder: Path) -> Path:
    for preferred in _FOLDER_FILES:
        if (folder / preferred).is_file():
            return folder / preferred
    for suffix in _FOLDER_SUFFIXES:
        found = sorted(folder.glob(f"*{suffix}"))
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidModel(
                f"`{folder}` holds {len(found)} {suffix} files, and none is called model.safetensors",
                detail=", ".join(path.name for path in found[:6]),
                remedy=f"repaudit scan {found[0]} --arch NAME",
            )
    raise InvalidModel(f"`{folder}` holds no weights", remedy="model.safetensors beside config.json")


def _config_of(network: nn.Module) -> Mapping[str, object]:
    config = getattr(network, "pretrained_cfg", None) or {}
    return cast("Mapping[str, object]", config if isinstance(config, Mapping) else config.to_dict())


def _draft(network: nn.Module, name: str, request: ModelRequest, *, resolved: str | None) -> Draft:
    config = _config_of(network)
    architecture = str(config.get("architecture") or name.partition(".")[0])
    tag = str(config.get("tag") or "")
    full = f"timm:{architecture}.{tag}" if tag else f"timm:{architecture}"
    notes = []
    if config.get("test_input_size") and request.preprocess is None and "img_size" not in request.arguments:
        notes.append(f"evaluated at the training size; timm also lists {config['test_input_size']} for testing")
    return Draft(
        network=network,
        resolved=resolved if resolved is not None else full,
        source="timm",
        architecture=architecture,
        preprocess=_preprocess(config, request, full),
        class_ids=_class_ids(network, config),
        notes=tuple(notes),
        convert=_converter(network),
    )


def _preprocess(config: Mapping[str, object], request: ModelRequest, source: str) -> Preprocess | None:
    """The configuration's figures, at the size asked for by `--set model.img_size`; None for other channels."""
    if not config.get("mean") or not config.get("std"):
        return None
    channels, height, width = cast("tuple[int, int, int]", config.get("input_size") or (3, 224, 224))
    side = request.arguments.get("img_size")
    if isinstance(side, int):
        height = width = side
    preprocess = from_timm({**config, "input_size": (channels, height, width)}, source)
    return preprocess if request.arguments.get("in_chans", channels) == preprocess.channels else None


def _class_ids(network: nn.Module, config: Mapping[str, object]) -> tuple[str, ...] | None:
    names = config.get("label_names")
    if isinstance(names, list | tuple):
        return tuple(str(name) for name in names)
    imagenet = config.get("num_classes", 1000) == 1000 and getattr(network, "num_classes", None) == 1000
    return imagenet_wnids() if imagenet else None


def _converter(network: nn.Module) -> Converter | None:
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if not callable(convert):
        return None
    return lambda tensors: cast("Mapping[str, torch.Tensor]", convert(dict(tensors), network))


source = Source(
    summary="timm's registry; also hf-hub:REPOSITORY and local-dir:FOLDER",
    examples=("resnet50.a1_in1k", "hf-hub:timm/resnet18.a1_in1k", "local-dir:models/resnet18"),
    open=open_timm,
    build=build_timm,
)
