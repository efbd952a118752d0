"""From the names that people give to classes to the model's class indices, never by a silent guess.

Order of trust: class ids of the model (ImageNet: wnids), integers, a `class_to_idx.json` or `.yaml` beside the
images, names of classes; the order of the sorted names only where their number is the model's, with a warning.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.data._wordnet import IMAGENET_CLASSES, imagenet_wnids, index_by_name, short_names
from repaudit.errors import InvalidData, printable
from repaudit.finding import Notice

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from repaudit.data._contract import DataRequest

WNID = re.compile(r"n\d{8}")
MAP_FILES = ("class_to_idx.json", "class_to_idx.yaml", "class_to_idx.yml")
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """Which class index each name stands for."""

    indices: Mapping[str, int]
    source: str
    """How they were obtained, such as `wnid folders`."""
    class_names: tuple[str, ...] | None
    """Names to read, in the model's class order."""
    notices: tuple[Notice, ...] = ()
    """What nothing confirms."""


def map_names(names: Collection[str], request: DataRequest, root: Path, kind: str) -> LabelMap:
    """The class index of every name.

    Args:
        names: distinct folder names, or labels of a manifest.
        request: tells the model's classes.
        root: folder in which a `class_to_idx` file may lie.
        kind: what the names are, `folder` or `label`, for messages.

    Raises:
        InvalidData: no rule maps all of them; more names than classes; indices beyond the classes.
    """
    order = _model_order(request, names, kind)
    explicit = _explicit_file(root)
    found = None
    if order is not None and set(names) <= set(order):
        position = {name: index for index, name in enumerate(order)}
        what = "wnid" if _all_wnids(names) else "class-id"
        found = LabelMap(
            indices={name: position[name] for name in names},
            source=f"{what} {kind}s",
            class_names=short_names(order),
        )
    elif all(_is_integer(name) for name in names):
        found = _by_integer(names, request, kind, explicit)
    if found is None and explicit is not None:
        return _by_file(explicit, names, request, kind)
    if found is not None and explicit is not None:
        request.progress.note(f"{explicit} is not used: the {found.source} name their classes themselves")
    if found is None and order is not None and _all_wnids(names):
        raise _unknown_wnids(names, order, kind, root)
    if found is None and kind == "label" and order is not None:
        found = _by_class_name(names, order)
    return found or _by_position(names, request, kind, root)


def check_range(labels: np.ndarray, classes_count: int, where: str) -> None:
    """Refuses labels that are no class of the model.

    Raises:
        InvalidData: a label is negative or not below `classes_count`.
    """
    outside = labels[(labels < 0) | (labels >= classes_count)]
    if len(outside):
        wrong = np.unique(outside)
        seen = ", ".join(str(label) for label in wrong[:SHOWN]) + (", …" if len(wrong) > SHOWN else "")
        detail = f"{len(outside)} of {len(labels)} labels lie outside 0..{classes_count - 1}: {seen}"
        if labels.min() == 1 and labels.max() == classes_count:
            detail += f"\nthey run from 1 to {classes_count}: subtract 1"
        span = f"go up to {labels.max()}" if labels.min() >= 0 else f"run from {labels.min()} to {labels.max()}"
        raise InvalidData(
            f"labels of {where} {span}, the model has {classes_count} classes",
            detail=detail,
            remedy="labels 0.. in the model's class order, or a model with these classes",
        )


def require_classes(request: DataRequest, count: int, what: str) -> None:
    """Refuses a model whose head has another number of classes than a data set that is known by name.

    Raises:
        InvalidData: the counts differ.
    """
    if request.classes_count != count:
        raise InvalidData(
            f"{what} has {count} classes, the model has {request.classes_count}",
            remedy=f"a model with {count} classes, or npz:FILE with labels in the model's class order",
        )


def _model_order(request: DataRequest, names: Collection[str], kind: str) -> tuple[str, ...] | None:
    """Ids of the model's classes, where known; 1000 classes called by wnids or by words are ImageNet's."""
    if request.class_ids is not None or request.classes_count != IMAGENET_CLASSES:
        return request.class_ids
    in_words = kind == "label" and not all(_is_integer(name) for name in names)
    return imagenet_wnids() if in_words or any(WNID.fullmatch(name) for name in names) else None


def _by_integer(names: Collection[str], request: DataRequest, kind: str, explicit: Path | None) -> LabelMap | None:
    indices = {name: int(name) for name in names}
    twice = len(set(indices.values())) < len(indices)
    if explicit is not None and (twice or max(indices.values()) >= request.classes_count):
        return None
    if twice:
        raise InvalidData(
            f"two {kind}s mean the same integer, such as `1` and `01`", remedy=f"one {kind} per class index"
        )
    check_range(np.array(sorted(indices.values())), request.classes_count, f"integer {kind}s")
    return LabelMap(
        indices=indices,
        source=f"integer {kind}s",
        class_names=None if request.class_ids is None else short_names(request.class_ids),
    )


def _by_file(path: Path, names: Collection[str], request: DataRequest, kind: str) -> LabelMap:
    given = _read_map(path)
    absent = sorted(set(names) - set(given))
    if absent:
        raise InvalidData(
            f"{path} does not name {len(absent)} of {len(names)} {kind}s: {_some(absent)}",
            remedy=f'a line such as "{absent[0]}": INDEX for each',
        )
    indices = {name: given[name] for name in names}
    check_range(np.array(list(indices.values())), request.classes_count, str(path))
    return LabelMap(indices=indices, source=path.name, class_names=_inverse(given, request.classes_count))


def _read_map(path: Path) -> dict[str, int]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        given = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidData(f"{path} cannot be read", detail=str(error), remedy='{"cat": 0, "dog": 1}') from None
    if not isinstance(given, dict) or not all(type(index) is int for index in given.values()):
        raise InvalidData(f"{path} must map names to class indices", remedy='{"cat": 0, "dog": 1}')
    return {str(name): index for name, index in given.items()}


def _explicit_file(root: Path) -> Path | None:
    found = [root / name for name in MAP_FILES if (root / name).is_file()]
    if len(found) > 1:
        raise InvalidData(
            f"{root} has {len(found)} label maps: {', '.join(path.name for path in found)}",
            remedy=f"keep one of them, such as {MAP_FILES[0]}",
        )
    return found[0] if found else None


def _by_class_name(names: Collection[str], order: tuple[str, ...]) -> LabelMap | None:
    known = index_by_name(order)
    if not all(name.casefold() in known for name in names):
        return None
    return LabelMap(
        indices={name: known[name.casefold()] for name in names}, source="class names", class_names=short_names(order)
    )


def _by_position(names: Collection[str], request: DataRequest, kind: str, root: Path) -> LabelMap:
    ordered = sorted(names)
    count, classes = len(ordered), request.classes_count
    if count != classes:
        many = count > classes
        raise InvalidData(
            f"{count} {kind}s under {root} cannot be mapped to the model's {classes} classes",
            detail=f"they are {_some(ordered)}: neither class ids of the model nor integers, and "
            f"{'more' if many else 'fewer'} than its classes",
            remedy=(f"a model with these {count} classes, or " if many else "")
            + f'{root / MAP_FILES[0]} with {{"{ordered[0]}": INDEX, …}} in the model\'s class order'
            + (f", several {kind}s to one index" if many else ""),
        )
    unconfirmed = (
        f"{count} {kind}s are taken as classes 0..{count - 1} in the order of their sorted names; nothing confirms it"
    )
    request.progress.note(f"warning: {unconfirmed}. {root / MAP_FILES[0]} would")
    return LabelMap(
        indices={name: index for index, name in enumerate(ordered)},
        source=f"positional order of {kind}s (unconfirmed)",
        class_names=tuple(ordered),
        notices=(Notice(code="labels-by-position", message=f"{unconfirmed}, as {MAP_FILES[0]} beside them would"),),
    )


def _unknown_wnids(names: Collection[str], order: tuple[str, ...], kind: str, root: Path) -> InvalidData:
    unknown = sorted(set(names) - set(order))
    return InvalidData(
        f"{len(unknown)} of {len(names)} wnid {kind}s are no class of the model: {_some(unknown)}",
        detail=f"the model knows {len(order)} classes, such as {order[0]}",
        remedy=("" if len(unknown) == len(names) else f"move them out of {root}, or ")
        + f'{root / MAP_FILES[0]} with a line "{unknown[0]}": INDEX for every {kind}',
    )


def _inverse(given: Mapping[str, int], classes_count: int) -> tuple[str, ...] | None:
    name_of = {index: name for name, index in given.items()}
    if len(given) != classes_count or set(name_of) != set(range(classes_count)):
        return None
    return tuple(name_of[index] for index in range(classes_count))


def _is_integer(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _all_wnids(names: Collection[str]) -> bool:
    return all(WNID.fullmatch(name) for name in names)


def _some(names: Collection[str]) -> str:
    shown = ", ".join(f"`{printable(name)}`" for name in sorted(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown}, …"
