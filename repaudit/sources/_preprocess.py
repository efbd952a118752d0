"""Normalisation and geometry from timm's configuration, torchvision's weights, or a person's own figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.errors import InvalidModel, nearest
from repaudit.preprocessing import Crop, Interpolation, Layout, Preprocess

if TYPE_CHECKING:
    from enum import StrEnum

WAYS = (
    "--preprocess timm:NAME, --preprocess torchvision:NAME/WEIGHTS, or "
    "--preprocess FILE.yaml with mean: [0.485, 0.456, 0.406] and std: [0.229, 0.224, 0.225]"
)
"""To say how images are normalised, for any model."""
KEYS = ("mean", "std", "size", "resize", "crop", "interpolation", "layout")


def read_preprocess(ref: str) -> Preprocess:
    """The preprocessing that `--preprocess` names.

    Args:
        ref: `timm:NAME`, `torchvision:NAME/WEIGHTS`, `torchvision:ResNet50_Weights.IMAGENET1K_V2` or the path of a
            YAML file.

    Raises:
        InvalidModel: an unknown name, a missing file, or keys and values that make no sense.
    """
    prefix, colon, name = ref.partition(":")
    if colon and prefix == "timm":
        from repaudit.sources.timm import pretrained_config

        return from_timm(pretrained_config(name), ref)
    if colon and prefix == "torchvision":
        from repaudit.sources.torchvision import weights_named

        chosen = weights_named(name)
        return from_torchvision(chosen.transforms, chosen.resolved)
    return _from_yaml(Path(ref))


def ways_for(source: str, files: Iterable[str]) -> str:
    """All ways to say how images are normalised for a model that does not say it.

    Args:
        source: prefix of its references.
        files: names of those that were read.
    """
    if source == "onnx":
        return f"{WAYS}; or the keys `mean` and `std` in the metadata of the file"
    if any(name.endswith(".py") for name in files):
        return f"{WAYS}; or `preprocess = {{…}}` with the same keys in the py: file"
    return WAYS


def from_timm(config: Mapping[str, object], source: str) -> Preprocess:
    """The evaluation transform that timm makes of a configuration, at the training size."""
    size = _pair(
        "input_size", list(_sequence("input_size", config.get("input_size", (3, 224, 224)), source))[1:], source
    )
    crop_share = float(str(config.get("crop_pct") or 0.875))
    given = {
        "mean": config.get("mean"),
        "std": config.get("std"),
        "size": list(size),
        "resize": None if size[0] != size[1] and crop_share == 1 else math.floor(min(size) / crop_share),
        "crop": config.get("crop_mode") or "center",
        "interpolation": config.get("interpolation") or "bicubic",
    }
    return from_mapping(given, source)


def from_torchvision(transforms: object, source: str) -> Preprocess:
    """The `ImageClassification` transform that comes with a torchvision weights entry."""
    values = vars(transforms)
    interpolation = values["interpolation"].value
    given = {
        "mean": values["mean"],
        "std": values["std"],
        "size": values["crop_size"] * (2 if len(values["crop_size"]) == 1 else 1),
        "resize": values["resize_size"][0],
        "interpolation": interpolation,
    }
    return from_mapping(given, source)


def from_metadata(entries: Mapping[str, str], source: str) -> Preprocess | None:
    """Preprocessing that an exporter wrote into a file's metadata; None where it wrote none.

    Args:
        entries: by key: `preprocess` holds all of it as JSON or YAML, or each figure has a key of its own.
        source: the file.

    Raises:
        InvalidModel: it is there and makes no sense.
    """
    import yaml

    text = _text(entries)
    if not text or "mean" not in text:
        return None
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidModel(
            f"{source}: its metadata holds preprocessing that cannot be read",
            detail=str(error)[:300],
            remedy="--preprocess FILE.yaml",
        ) from None
    return from_mapping(given, f"metadata of {source}") if isinstance(given, Mapping) else None


def _text(entries: Mapping[str, str]) -> str:
    return entries.get("preprocess") or "\n".join(f"{key}: {entries[key]}" for key in KEYS if key in entries)


def given_layout(ref: str | None, entries: Mapping[str, str]) -> Layout | None:
    """The order of axes that a person's file or else a program's metadata names; None where neither does.

    Args:
        ref: as of `read_preprocess`, which accepted it; timm and torchvision speak of their own networks, not of files.
        entries: as of `from_metadata`, which accepted them.
    """
    import yaml

    texts = [_text(entries)] if "mean" in _text(entries) else []
    if ref is not None and ref.partition(":")[0] not in {"timm", "torchvision"}:
        texts.insert(0, Path(ref).read_text(encoding="utf-8"))
    for text in texts:
        given = yaml.safe_load(text)
        if isinstance(given, Mapping) and given.get("layout") is not None:
            return Layout(str(given["layout"]))
    alone = entries.get("layout")
    return Layout(alone) if alone in list(Layout) else None


def from_mapping(given: Mapping[str, object], source: str) -> Preprocess:
    """Preprocessing from the keys of a YAML file or of a module's `preprocess = {…}`.

    Args:
        given: `mean` and `std`, optionally `size`, `resize`, `crop`, `interpolation`, `layout`.
        source: where the figures come from.

    Raises:
        InvalidModel: a key is missing or unknown (the nearest is named), or a value makes no sense.
    """
    for key in given:
        if key not in KEYS:
            near = nearest(str(key), KEYS, 1)
            raise InvalidModel(
                f"{source}: unknown preprocessing key `{key}`",
                remedy=f"`{near[0]}`" if near else "one of " + ", ".join(KEYS),
            )
    absent = [key for key in ("mean", "std") if given.get(key) is None]
    if absent:
        raise InvalidModel(
            f"{source}: preprocessing lacks `{absent[0]}`", remedy="mean: [0.5, 0.5, 0.5], one per channel"
        )
    mean, std = _colours("mean", given["mean"], source), _colours("std", given["std"], source)
    if len(mean) != len(std) or min(std) <= 0:
        raise InvalidModel(
            f"{source}: mean {list(mean)} and std {list(std)} must have one value per channel, std above 0",
            remedy="mean: [0.5, 0.5, 0.5] with std: [0.5, 0.5, 0.5]",
        )
    size = None if given.get("size") is None else _pair("size", given["size"], source)
    resize = None if given.get("resize") is None else _side("resize", given["resize"], source)
    if resize is not None and size is None:
        raise InvalidModel(f"{source}: `resize` needs `size`, the part that is cut out", remedy=f"size: {resize}")
    return Preprocess(
        mean=mean,
        std=std,
        size=size,
        resize=resize,
        crop=Crop(_choice("crop", given.get("crop", "center"), Crop, source)),
        interpolation=Interpolation(
            _choice("interpolation", given.get("interpolation", "bicubic"), Interpolation, source)
        ),
        layout=Layout(_choice("layout", given.get("layout", "nchw"), Layout, source)),
        source=source,
    )


def _from_yaml(path: Path) -> Preprocess:
    import yaml

    if not path.is_file():
        raise InvalidModel(
            f"there is no file `{path}`, which `--preprocess` names",
            detail="it is neither `timm:NAME` nor `torchvision:NAME/WEIGHTS` either",
            remedy=_meant(path) or WAYS,
        )
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InvalidModel(
            f"`{path}` is no YAML file", detail=str(error), remedy="lines such as `mean: [0.5]`"
        ) from None
    if not isinstance(given, Mapping):
        raise InvalidModel(f"`{path}` holds no keys", remedy="lines such as `mean: [0.5, 0.5, 0.5]`")
    return from_mapping(given, path.name)


def _meant(path: Path) -> str | None:
    """What a reference to nothing is most like: a file beside it, a misspelt prefix, or a name without its prefix."""
    beside = nearest(path.name, [each.name for each in path.parent.glob("*.y*ml")], 1)
    if beside:
        return f"--preprocess {path.parent / beside[0]}"
    prefix, colon, name = str(path).partition(":")
    if colon:
        near = nearest(prefix, ("timm", "torchvision"), 1)
        return f"--preprocess {near[0]}:{name}" if near else None
    if path.suffix in {".yaml", ".yml"}:
        return None
    import timm

    return f"--preprocess timm:{path}" if timm.is_model(str(path).partition(".")[0]) else None


def _sequence(key: str, value: object, source: str) -> Sequence[object]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise InvalidModel(f"{source}: `{key}` cannot be {value!r}", remedy=f"{key}: a list of numbers")


def _number(key: str, value: object, source: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise InvalidModel(f"{source}: `{key}` cannot be {value!r}", remedy=f"{key}: a list of numbers")


def _colours(key: str, value: object, source: str) -> tuple[float, ...]:
    given = [value] if isinstance(value, int | float) else _sequence(key, value, source)
    colours = tuple(_number(key, one, source) for one in given)
    if not colours or max(colours) > 1:
        raise InvalidModel(
            f"{source}: `{key}` is {list(colours)}, but pixels lie in [0, 1]",
            remedy=f"{key}: {[round(colour / 255, 4) for colour in colours] or [0.5]}",
        )
    return colours


def _side(key: str, value: object, source: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise InvalidModel(f"{source}: `{key}` cannot be {value!r}", remedy=f"{key}: 224   (pixels)")


def _pair(key: str, value: object, source: str) -> tuple[int, int]:
    sides = [value, value] if isinstance(value, int) else _sequence(key, value, source)
    if len(sides) != 2:
        raise InvalidModel(f"{source}: `{key}` cannot be {value!r}", remedy=f"{key}: [224, 224]   (height, width)")
    return _side(key, sides[0], source), _side(key, sides[1], source)


def _choice(key: str, value: object, choices: type[StrEnum], source: str) -> str:
    if value in list(choices):
        return str(value)
    near = nearest(str(value).lower(), list(choices), 1) or list(choices)
    raise InvalidModel(
        f"{source}: `{key}` cannot be {value!r}",
        detail="it is one of " + ", ".join(choices),
        remedy=f"{key}: {near[0]}",
    )
