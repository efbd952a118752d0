"""A network that fails during the clean pass or an attack: whose fault it is, and on which images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from repaudit.attacks import resolve
from repaudit.attacks.harness import evaluate
from repaudit.attacks.intake import Subjects
from repaudit.case import EvaluationShape
from repaudit.errors import Interrupted, InvalidModel, UnfinishedError
from repaudit.evidence import collect
from repaudit.progress import SilentProgress

ROWS = 8


class Fails(nn.Module):
    """Raises on a batch that holds a wholly white image, or on every batch."""

    def __init__(self, error, *, always=False):
        super().__init__()
        self.error, self.always = error, always

    def forward(self, x):
        if self.always or bool((x.amin((1, 2, 3)) == 1).any()):
            raise self.error
        return x


@pytest.fixture
def images(make_images):
    stored = torch.randint(0, 200, (40, 3, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return make_images(stored, np.arange(40) % 4)


@pytest.fixture
def failing(make_classifier):
    def make(error, *, always=False, checked=None):
        classifier = make_classifier(nn.Sequential(Fails(error, always=always), nn.Flatten(), nn.Linear(192, 4)))
        classifier.card = replace(classifier.card, checked_size=checked)
        return classifier

    return make


def run(classifier, images, **others):
    return collect(classifier, images, rows=ROWS, progress=SilentProgress(), **others)


def test_a_failure_on_the_first_images_is_the_models_and_tells_the_size_it_was_checked_on(failing, images):
    with pytest.raises(InvalidModel) as raised:
        run(failing(ValueError("wants 32\nand more"), always=True, checked=(32, 32)), images)

    assert "8×8" in raised.value.problem
    assert "ValueError: wants 32" in raised.value.problem
    assert "32×32" in raised.value.detail
    assert "size: [32, 32]" in raised.value.remedy
    assert raised.value.exit_status == 2


def test_a_failure_on_the_first_images_of_the_checked_size_is_not_answered_with_a_size(failing, images):
    with pytest.raises(InvalidModel) as raised:
        run(failing(ValueError("no"), always=True, checked=(8, 8)), images)

    assert "--preprocess" not in raised.value.remedy
    assert "(8, 3, 8, 8)" in raised.value.remedy


def test_a_failure_on_later_images_names_them_and_the_network(failing, images):
    images.stored[20] = 255

    with pytest.raises(UnfinishedError) as raised:
        run(failing(ValueError("white")), images)

    assert raised.value.problem == "the network raised ValueError: white"
    assert all(f"image-{row:04d}" in raised.value.detail for row in range(16, 24))
    assert "image-0015" not in raised.value.detail
    assert "defect" not in raised.value.render()
    assert raised.value.exit_status == 3


def test_what_was_done_before_a_later_failure_is_kept(failing, images, tmp_path):
    images.stored[20] = 255
    with pytest.raises(UnfinishedError):
        run(failing(ValueError("white")), images, cache=tmp_path)
    classifier = failing(ValueError("white"))
    classifier.network[0].forward = lambda x: x

    assert run(classifier, images, cache=tmp_path).resumed
    assert classifier.work.forward_rows == 40 - 16


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        Interrupted(15),
        MemoryError(),
        torch.OutOfMemoryError("no room"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_an_interruption_or_a_full_memory_is_not_blamed_on_the_network(failing, images, error):
    with pytest.raises(type(error)) as raised:
        run(failing(error, always=True), images)

    assert raised.value is error


def test_a_network_that_ends_the_program_is_a_failure_like_any_other(failing, images):
    with pytest.raises(InvalidModel, match="SystemExit: 0"):
        run(failing(SystemExit(0), always=True), images)
    images.stored[20] = 255
    with pytest.raises(UnfinishedError, match="SystemExit: 0"):
        run(failing(SystemExit(0)), images)


def test_a_network_that_ends_the_program_under_attack_is_a_failure_that_an_audit_can_report(failing, images):
    subjects = Subjects(ids=images.ids, labels=images.labels, logits=np.eye(4, dtype=np.float32)[images.labels])

    with pytest.raises(RuntimeError, match="end the program by SystemExit: 3"):
        evaluate(
            failing(SystemExit(3), always=True), images, subjects, resolve("fgsm"),
            seed=0, shape=EvaluationShape(rows=ROWS, calls=1), progress=SilentProgress(),
        )  # fmt: skip


class LeavesBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise SystemExit(3)


def test_a_backward_pass_that_ends_the_program_is_a_failure_too(make_classifier, images):
    class Leaves(nn.Module):
        def forward(self, x):
            return LeavesBackward.apply(x)

    classifier = make_classifier(nn.Sequential(Leaves(), nn.Flatten(), nn.Linear(192, 4)))
    with torch.no_grad():
        logits = classifier.logits(images.stored.float() / 255).numpy()
    labels = logits.argmax(1)
    images.labels = labels

    with pytest.raises(RuntimeError):
        evaluate(
            classifier, images, Subjects(ids=images.ids, labels=labels, logits=logits), resolve("fgsm"),
            seed=0, shape=EvaluationShape(rows=ROWS, calls=1), progress=SilentProgress(),
        )  # fmt: skip
