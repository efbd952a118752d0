"""Devices and evaluation shapes."""

import pytest
import torch

from repaudit.case import EvaluationShape
from repaudit.device import allowed_processors, choose_device, choose_dtype, choose_shape, halved, limit_threads
from repaudit.errors import UsageError

CPU = torch.device("cpu")


def test_auto_never_asks_for_a_device_that_is_absent():
    device = choose_device("auto")

    assert torch.zeros(1, device=device).device.type == device.type


@pytest.mark.parametrize("asked", ["gpu", "cuda:99", "meta", "xyz:1"])
def test_an_impossible_device_is_refused_with_one_that_works(asked):
    with pytest.raises(UsageError) as refused:
        choose_device(asked)
    assert "--device" in refused.value.remedy


@pytest.mark.parametrize("asked", ["float16", "fp32", ""])
def test_an_unknown_precision_is_refused(asked):
    with pytest.raises(UsageError, match="precision"):
        choose_dtype(asked)


def test_a_batch_size_is_whole_calls_of_the_one_shape():
    assert choose_shape("200", CPU) == EvaluationShape(rows=32, calls=6)
    assert choose_shape("auto", CPU).rows == choose_shape("4096", CPU).rows


@pytest.mark.parametrize(("operations", "rows"), [(None, 32), (8_000_000_000, 32), (81_000_000, 32), (1_400_000, 96)])
def test_a_network_so_small_that_a_call_costs_more_than_its_rows_gets_larger_calls(operations, rows):
    assert choose_shape("auto", CPU, operations) == EvaluationShape(rows=rows, calls=4)
    assert choose_shape("200", CPU, operations) == EvaluationShape(rows=rows, calls=200 // rows)
    assert choose_shape("24", CPU, operations) == EvaluationShape(rows=24, calls=1)


def test_a_small_batch_size_never_goes_below_eight_rows():
    assert choose_shape("1", CPU) == EvaluationShape(rows=8, calls=1)


@pytest.mark.parametrize("asked", ["0", "-3", "many", "1.5"])
def test_a_batch_size_that_is_no_number_is_refused(asked):
    with pytest.raises(UsageError, match="batch size"):
        choose_shape(asked, CPU)


def test_halving_ends_at_eight_rows():
    shape, seen = EvaluationShape(rows=50, calls=4), []
    while shape is not None:
        seen.append(shape.rows)
        shape = halved(shape)

    assert seen == [50, 25, 12, 8]


@pytest.mark.parametrize(
    ("text", "most"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", 10**6), ("", 10**6)]
)
def test_a_containers_quota_is_rounded_up_to_whole_processors(tmp_path, text, most):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)

    assert 1 <= allowed_processors(quota) <= most
    assert allowed_processors(quota) <= allowed_processors(tmp_path / "absent")


def test_threads_are_only_ever_taken_away_and_never_against_the_environment(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        limit_threads(1)
        assert torch.get_num_threads() == before
        monkeypatch.delenv("OMP_NUM_THREADS")
        limit_threads(1)
        assert torch.get_num_threads() == 1
        limit_threads()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
