"""Every pass uses the same kernels, and leaves torch as it was."""

import pytest
import torch

from repaudit.evidence import collect
from repaudit.numerics import same_kernels, settings_in_force
from repaudit.progress import SilentProgress


@pytest.fixture
def careless():
    """A process in which somebody allowed quick and inexact products before."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        yield
    torch.set_float32_matmul_precision(before)


def seen() -> tuple[str, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark


def test_what_somebody_allowed_before_is_not_in_force_inside_and_is_restored_afterwards(careless):
    before = seen()
    with same_kernels():
        inside = seen()

    assert inside == ("highest", False, False)
    assert seen() == before == ("medium", True, True)


def test_it_is_restored_after_a_failure_too(careless):
    with pytest.raises(RuntimeError, match="stop"), same_kernels():
        raise RuntimeError("stop")

    assert seen() == ("medium", True, True)


def test_the_clean_pass_runs_under_them(careless, make_classifier, make_images):
    from torch import nn

    answers = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    network.register_forward_pre_hook(lambda *_: answers.append(seen()))
    images = make_images(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.zeros(4).numpy())
    collect(make_classifier(network), images, rows=8, progress=SilentProgress())

    assert answers == [("highest", False, False)]


def test_the_report_says_what_torch_says(careless):
    assert settings_in_force() == {
        "float32_matmul_precision": "highest",
        "cudnn_allow_tf32": False,
        "cudnn_benchmark": False,
        "cudnn_deterministic": True,
    }
