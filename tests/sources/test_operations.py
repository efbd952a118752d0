"""The operations of a network, against torch's own counter."""

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from repaudit.sources._operations import OperationCounter


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_operations_are_as_many_as_torch_counts(name):
    network = timm.create_model(name).eval()
    images = torch.zeros(1, *network.default_cfg["input_size"])
    with torch.no_grad(), FlopCounterMode(display=False) as oracle:
        network(images)

    with torch.enable_grad(), OperationCounter() as counter:
        network(images)

    assert counter.operations == oracle.get_total_flops() > 0
