"""What every kind of image set does alike: choose, refuse doubles, take a fingerprint."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidData
from repaudit.images import stratified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repaudit.data._contract import DataRequest


def choose(labels: np.ndarray, request: DataRequest) -> np.ndarray:
    """Sorted rows that the request wants: all of them, or its limit stratified by class.

    Raises:
        InvalidData: there is no image at all.
    """
    if len(labels) == 0:
        raise InvalidData(f"`{request.ref}` holds no images", remedy="repaudit list data")
    if request.limit is None:
        return np.arange(len(labels))
    return stratified(labels, request.limit, request.seed)


def subset(chosen: int, total: int, request: DataRequest) -> str:
    """How the images were chosen, in words."""
    return "all" if chosen == total else f"stratified {chosen} of {total}, seed {request.seed}"


def refuse_doubles(ids: Sequence[str], where: str) -> None:
    """Everything joins on ids, so that one id may not mean two images.

    Raises:
        InvalidData: an id comes twice.
    """
    if len(set(ids)) < len(ids):
        doubles = [name for name, count in Counter(ids).items() if count > 1]
        raise InvalidData(
            f"{where}: {len(doubles)} ids come more than once, such as `{doubles[0]}`",
            remedy="one row per image, each with an id of its own",
        )


def fingerprint(ids: Sequence[str], labels: np.ndarray, digests: Sequence[str]) -> str:
    """sha256 over sorted (id, label, content sha256): the same in any order of reading."""
    total = hashlib.sha256()
    for name, label, digest in sorted(zip(ids, labels.tolist(), digests, strict=True)):
        total.update(f"{name}\0{label}\0{digest}\n".encode())
    return total.hexdigest()
