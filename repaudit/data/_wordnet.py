"""ImageNet's classes: WordNet ids in class order, and words for them (from timm's tables)."""

from __future__ import annotations

from functools import cache

IMAGENET_CLASSES = 1000


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The 1000 WordNet ids, sorted: the class order of every ImageNet-1k checkpoint of timm and torchvision."""
    from timm.data.imagenet_info import ImageNetInfo

    names: list[str] = ImageNetInfo("imagenet-1k").label_names()  # type: ignore[no-untyped-call]
    return tuple(names)


def short_names(class_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The first word for each WordNet id; ids that are none are names already."""
    words = _words(class_ids)
    return class_ids if words is None else tuple(synonyms[0] for synonyms in words)


def index_by_name(class_ids: tuple[str, ...]) -> dict[str, int]:
    """Index of every word, in lower case, that means one class only: `crane` is a bird and a machine."""
    words = _words(class_ids)
    if words is None:
        return {name.casefold(): index for index, name in enumerate(class_ids)}
    found: dict[str, set[int]] = {}
    for index, synonyms in enumerate(words):
        for word in (*synonyms, ", ".join(synonyms)):
            found.setdefault(word.casefold(), set()).add(index)
    return {word: min(indices) for word, indices in found.items() if len(indices) == 1}


def _words(class_ids: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """Synonyms of each class; None where the ids are not all ImageNet's."""
    if not all(name.startswith("n") and name[1:].isdigit() for name in class_ids):
        return None
    known = _imagenet_words()
    if not set(class_ids) <= set(known):
        return None
    return [known[name] for name in class_ids]


@cache
def _imagenet_words() -> dict[str, tuple[str, ...]]:
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return {
        wnid: tuple(word.strip() for word in info.label_name_to_description(wnid).split(","))
        for wnid in imagenet_wnids()
    }
