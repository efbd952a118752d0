"""Labelled images by reference; one layout a file, whose name is the name of its references.

A layout is a module of this folder with a constant `layout`. Files are found by listing the folder and
imported only when used; `_` in a file's name is `-` in the reference. A reference belongs to exactly one
layout: `name[:argument]`, or a folder or file that one layout alone recognises.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from repaudit.data._contract import DataRequest, Layout, Part
from repaudit.errors import InvalidData, nearest

if TYPE_CHECKING:
    from repaudit.classifier import Classifier
    from repaudit.images import ImageSet

WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors", ".tar", ".th", ".ckpt", ".bin", ".onnx", ".pt2", ".h5")

__all__ = ["DataRequest", "Layout", "Part", "check_reference", "load", "load_data", "names", "open_images"]


def names() -> list[str]:
    """Names of all layouts, without importing one."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(path.stem.replace("_", "-") for path in files if not path.stem.startswith("_"))


def load(name: str) -> Layout:
    """The layout whose references start with `name`.

    Raises:
        InvalidData: there is none; the nearest name is suggested.
    """
    if name not in names():
        near = nearest(name, names(), 1)
        raise InvalidData(
            f"there is no data layout `{name}`",
            detail="known: " + ", ".join(names()),
            remedy=f"--data {near[0]}:…" if near else "repaudit list data",
        )
    layout = import_module(f"repaudit.data.{name.replace('-', '_')}").layout
    if not isinstance(layout, Layout):
        raise TypeError(f"repaudit/data/{name.replace('-', '_')}.py must define `layout = Layout(…)`")
    return layout


def open_images(request: DataRequest) -> ImageSet:
    """Finds, labels, chooses and checks the images that a reference means.

    Raises:
        InvalidData: the reference means nothing or two things; labels cannot be mapped to the model's classes; an
            image cannot be decoded and `skip_bad_images` was not asked for.
    """
    if request.limit is not None and request.limit < 1:
        raise InvalidData(f"a limit of {request.limit} images leaves nothing to audit", remedy="--limit 1000")
    if request.preprocess.channels not in (1, 3):
        raise InvalidData(
            f"the model takes {request.preprocess.channels} channels; pictures have 1 (grey) or 3 (colour)",
            remedy="--preprocess FILE.yaml with one or three values in `mean` and `std`",
        )
    name, argument = check_reference(request.ref)
    images = load(name).open(argument, request)
    given = "" if request.ref.partition(":")[0] == name else f" ({name})"
    request.progress.note(
        f"data {request.ref}{given}: {len(images)} images ({images.subset}), labels from {images.label_source}"
    )
    return images


def load_data(
    ref: str,
    classifier: Classifier,
    *,
    limit: int | None = None,
    seed: int = 0,
    skip_bad_images: bool = False,
    workers: int = 0,
) -> ImageSet:
    """`open_images` for scripts and notebooks: images as one classifier takes them, labelled in its class order.

    Args:
        ref: a data reference, such as `imagenet-val:/data/imagenet`, `npz:test.npz` or `digits`.
        classifier: whose preprocessing and classes decide.
        limit: images at most, stratified by class.
        seed: of that choice.
        skip_bad_images: leave out files that cannot be decoded.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        InvalidData: as `open_images`.
    """
    from repaudit.progress import SilentProgress

    return open_images(
        DataRequest(
            ref=ref,
            preprocess=classifier.card.preprocess,
            classes_count=classifier.card.classes_count,
            class_ids=classifier.card.class_ids,
            limit=limit,
            seed=seed,
            skip_bad_images=skip_bad_images,
            workers=workers,
            progress=SilentProgress(),
        )
    )


def check_reference(ref: str) -> tuple[str, str | None]:
    """Which layout a reference means, and what follows the colon: cheap, and good to know before a model is loaded.

    Raises:
        InvalidData: it means nothing, or a folder or file that is not there.
    """
    from repaudit.data._folders import require_existing

    name, argument = _resolve(ref)
    layout = load(name)
    variable = layout.variable
    if argument is None and variable is not None and not os.environ.get(variable):
        raise InvalidData(
            f"`{name}` does not know where its images lie",
            detail=f"no folder follows it, and {variable} is not set",
            remedy=f"--data {name}:DIR, or {variable}=DIR",
        )
    given = argument or (os.environ.get(variable) if variable is not None else None)
    if given and given not in layout.named:
        require_existing(Path(given).expanduser(), name)
    return name, argument


def _resolve(ref: str) -> tuple[str, str | None]:
    """The layout's name and what follows the colon; a layout's own name wins over a folder called the same."""
    name, colon, argument = ref.partition(":")
    if name in names():
        if colon and not argument:
            raise InvalidData(f"nothing follows the colon of `{ref}`", remedy=f"--data {name}:PATH")
        return name, argument or None
    path = Path(ref).expanduser()
    if path.exists():
        return _recognised(path), str(path)
    if colon:
        load(name)
    near = nearest(ref, names(), 1)
    raise InvalidData(
        f"`{ref}` is neither a data layout nor a folder or file that exists",
        detail="layouts: " + ", ".join(names()),
        remedy=f"--data {near[0]}" if near else "repaudit list data",
    )


def _recognised(path: Path) -> str:
    try:
        fitting = [name for name in names() if load(name).recognises(path)]
    except OSError as error:
        raise InvalidData(f"{path} cannot be read", detail=str(error), remedy=f"ls -la {path}") from None
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InvalidData(
            f"{path} can be read in {len(fitting)} ways: {', '.join(fitting)}",
            remedy="or ".join(f"--data {name}:{path} " for name in fitting).strip(),
        )
    if path.is_file():
        raise _unknown_file(path)
    raise InvalidData(
        f"the layout of {path} is not recognised",
        detail="a folder is known by class folders that hold images, val/<wnid> folders, ILSVRC2012_val_* files or "
        "CIFAR's python batches; a file by .csv or .npz",
        remedy=f"--data imagefolder:{path} or another of: {', '.join(names())}",
    )


def _unknown_file(path: Path) -> InvalidData:
    weights = path.suffix.lower() in WEIGHTS_SUFFIXES
    return InvalidData(
        f"{path} is no set of images" + (": by its name it holds a model's weights" if weights else ""),
        detail="files of images are known by .csv (lines of path,label) and .npz (arrays `images` and `labels`)",
        remedy=f"repaudit scan {path} --arch NAME --data REF"
        if weights
        else f"--data csv:{path}, if it lists path,label",
    )
