"""`cifar100[:DIR]`: the 10,000 test images of CIFAR-100, fine labels."""

from __future__ import annotations

from functools import partial

from repaudit.data import Layout
from repaudit.data._cifar import Cifar, open_cifar

CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    test_file="test",
    train_files=("train",),
    meta_file="meta",
    label_key="fine_labels",
    names_key="fine_label_names",
    classes=100,
)

layout = Layout(
    summary="cifar100[:DIR] — file test of cifar-100-python; without DIR in ./data",
    recognises=CIFAR100.recognises,
    open=partial(open_cifar, CIFAR100),
    parts=True,
    count_classes=lambda _: CIFAR100.classes,
)
