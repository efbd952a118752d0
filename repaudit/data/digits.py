"""`digits`: 1,797 handwritten digits, 8×8 grey, that come with scikit-learn.

UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak), CC BY 4.0. The last 900 in file order
come from other writers and are the test set; `digits:train` is the first 897.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.data import Layout, Part
from repaudit.data._arrays import ArrayImages, ArrayListing, open_arrays
from repaudit.data._labels import require_classes
from repaudit.errors import InvalidData

if TYPE_CHECKING:
    from repaudit.data import DataRequest

TRAIN = 897
BRIGHTEST = 16
CLASSES = 10


def _open(argument: str | None, request: DataRequest) -> ArrayImages:
    from sklearn.datasets import load_digits

    if argument not in (None, "train", "test"):
        raise InvalidData(f"digits have no part `{argument}`", remedy="--data digits, or digits:train")
    require_classes(request, CLASSES, "the set of handwritten digits")
    digits = load_digits()
    training = argument == "train" or (argument is None and request.part is Part.TRAINING)
    rows = range(TRAIN) if training else range(TRAIN, len(digits.target))
    return open_arrays(
        ArrayListing(
            layout="digits",
            ids=tuple(str(row) for row in rows),
            images=np.round(digits.images[rows] * (255 / BRIGHTEST)).astype(np.uint8)[..., None],
            labels=digits.target[rows].astype(np.int64),
            label_source="the data set",
            class_names=tuple(str(digit) for digit in range(10)),
        ),
        request,
    )


layout = Layout(
    summary="digits — 900 handwritten digits, 8×8 grey, embedded (UCI, CC BY 4.0); digits:train for the other 897",
    recognises=lambda _: False,
    open=_open,
    named=frozenset({"train", "test"}),
    parts=True,
    count_classes=lambda _: CLASSES,
)
