"""The other way back through a convolution gives the gradient that torch gives, and is taken where it is faster."""

import pytest
import torch
from torch import nn

from repaudit.attacks._input_gradient import FoldedGradient, pays

LAYERS = [
    pytest.param(lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1), (12, 9), id="strided"),
    pytest.param(lambda: nn.Conv2d(3, 70, 3, padding=1, bias=False), (7, 8), id="without a bias"),
    pytest.param(lambda: nn.Conv2d(1, 6, 5), (11, 6), id="grey and unpadded"),
    pytest.param(lambda: nn.Conv2d(4, 6, (2, 3), stride=(1, 3), padding=(0, 2)), (6, 10), id="neither square nor even"),
    pytest.param(lambda: nn.Conv2d(3, 20, 4, stride=4), (16, 16), id="patches"),
    pytest.param(lambda: nn.Conv2d(3, 20, 4, stride=4), (18, 17), id="patches that leave a margin"),
    pytest.param(lambda: nn.Conv2d(9, 5, 1, stride=2), (8, 8), id="pointwise and strided"),
    pytest.param(lambda: nn.Conv2d(9, 5, 1, stride=(3, 2)), (7, 9), id="pointwise, strides that leave a margin"),
]


@pytest.mark.parametrize(("make", "size"), LAYERS)
def test_it_is_the_gradient_of_torch_in_double_precision(make, size):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = make().double().requires_grad_(False)
        images = torch.randn(5, layer.in_channels, *size, dtype=torch.float64)
        direction = torch.randn_like(layer(images))
    assert pays(layer, channels_last=False)

    answered = []
    for network in (layer, FoldedGradient(layer)):
        query = images.clone().requires_grad_()
        logits = network(query)
        answered.append((logits.detach(), *torch.autograd.grad((logits * direction).sum(), query)))

    torch.testing.assert_close(answered[1][0], answered[0][0], rtol=0, atol=0)
    torch.testing.assert_close(answered[1][1], answered[0][1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "channels_last"),
    [
        (nn.Conv2d(3, 8, 3, dilation=2), False),
        (nn.Conv2d(3, 9, 3, groups=3), False),
        (nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(3, 8, 3, padding="same"), False),
        (nn.Conv2d(16, 32, 3, stride=2, padding=1), False),
        (nn.Conv2d(16, 32, 1), False),
        (nn.Conv2d(16, 32, 1, stride=2), True),
        (nn.Conv2d(3, 32, 3, stride=2, padding=1), True),
    ],
)
def test_what_it_cannot_do_or_does_no_faster_is_left_to_torch(layer, channels_last):
    assert not pays(layer, channels_last=channels_last)


def test_a_row_has_the_same_gradient_to_the_bit_whatever_lies_beside_it():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            FoldedGradient(nn.Conv2d(3, 8, 3, stride=2, padding=1).requires_grad_(False)), nn.ReLU()
        )
        images = torch.rand(8, 3, 32, 32)

    def gradient(batch):
        query = batch.clone().requires_grad_()
        return torch.autograd.grad(network(query).square().sum(), query)[0]

    together, beside_others = gradient(images), gradient(torch.cat([images[3:4], images[:7].flip(3)]))
    assert torch.equal(together[3], beside_others[0])
