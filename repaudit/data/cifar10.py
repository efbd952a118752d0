"""`cifar10[:DIR]`: the 10,000 test images of CIFAR-10."""

from __future__ import annotations

from functools import partial

from repaudit.data import Layout
from repaudit.data._cifar import Cifar, open_cifar

CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    test_file="test_batch",
    train_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
    meta_file="batches.meta",
    label_key="labels",
    names_key="label_names",
    classes=10,
)

layout = Layout(
    summary="cifar10[:DIR] — test_batch of cifar-10-batches-py; without DIR in ./data",
    recognises=CIFAR10.recognises,
    open=partial(open_cifar, CIFAR10),
    parts=True,
    count_classes=lambda _: CIFAR10.classes,
)
