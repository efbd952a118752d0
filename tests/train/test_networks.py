"""Networks for small images are those of the papers: parameters, maps and a head that can be found."""

import pytest
import torch
from torch import nn

from repaudit.networks import BUILDERS
from repaudit.sources._head import find_head

# parameters with ten classes and three channels, from the papers' tables to their digits, else by hand
MILLIONS = {
    "resnet20": (0.27, 0.005),  # He et al. 2016, Table 6
    "wrn28_10": (36.5, 0.05),  # Zagoruyko & Komodakis 2016, Table 4
}
BY_HAND = {
    # torchvision's published counts with 1,000 classes, less 990 rows of the head and the difference of the first layer
    "resnet18": 11_689_512 - 990 * 513 - 64 * 3 * (49 - 9),
    "resnet34": 21_797_672 - 990 * 513 - 64 * 3 * (49 - 9),
    "resnet50": 25_557_032 - 990 * 2049 - 64 * 3 * (49 - 9),
    "resnext50": 25_028_904 - 990 * 2049 - 64 * 3 * (49 - 9),
    "mobilenetv2": 3_504_872 - 990 * 1281,
}
SIDE = {"resnet20": 8, "resnext29": 8, "wrn": 8, "wrn28_10": 8, "wrn34_10": 8}
"""Of the last maps of an image of 32 pixels; 4 where three halvings are made."""
WIDTH = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnext50": 2048, "resnet20": 64, "resnext29": 1024,
         "wrn28_10": 640, "wrn34_10": 640, "wrn": 256, "mobilenetv2": 1280}  # fmt: skip
SMALL = {"resnet18": {}, "resnet20": {}, "mobilenetv2": {}, "resnext29": {"cardinality": 2, "width": 4},
         "wrn": {"depth": 10, "factor": 1}}  # fmt: skip


def on_meta(name: str, **arguments: object) -> nn.Module:
    with torch.device("meta"):
        return BUILDERS[name](**arguments)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "millions", "digits"), [(name, *figures) for name, figures in MILLIONS.items()])
def test_a_network_has_as_many_parameters_as_its_paper_prints(name, millions, digits):
    assert parameters(on_meta(name)) / 1e6 == pytest.approx(millions, abs=digits)


@pytest.mark.parametrize(("name", "expected"), BY_HAND.items())
def test_a_network_of_torchvision_differs_from_it_in_stem_and_head_alone(name, expected):
    assert parameters(on_meta(name)) == expected


@pytest.mark.parametrize(("cardinality", "millions"), [(8, 34.4), (16, 68.1)])
def test_resnext_29_has_the_parameters_that_its_paper_prints(cardinality, millions):
    found = parameters(on_meta("resnext29", cardinality=cardinality)) / 1e6

    assert found == pytest.approx(millions, abs=0.06)  # Xie et al. 2017, Table 7


def test_resnext_29_2x64d_has_the_parameters_counted_by_hand():
    # a block: 1×1 in, 3×3 in two groups, 1×1 out, each with two numbers a map for the normalisation
    def block(before: int, inner: int, after: int) -> int:
        shortcut = before * after + 2 * after if before != after else 0
        return before * inner + 9 * inner * inner // 2 + inner * after + 4 * inner + 2 * after + shortcut

    stages = sum(
        block(before, inner, after) + 2 * block(after, inner, after)
        for before, inner, after in ((64, 128, 256), (256, 256, 512), (512, 512, 1024))
    )

    assert parameters(on_meta("resnext29")) == 27 * 64 + 2 * 64 + stages + 1025 * 10


@pytest.mark.parametrize(("name", "depth"), [("wrn28_10", 28), ("wrn34_10", 34)])
def test_a_wide_network_has_the_parameters_counted_by_hand(name, depth):
    def block(before: int, after: int) -> int:
        shortcut = before * after if before != after else 0
        return 9 * before * after + 9 * after * after + 2 * before + 2 * after + shortcut

    more = (depth - 4) // 6 - 1
    stages = sum(block(b, a) + more * block(a, a) for b, a in ((16, 160), (160, 320), (320, 640)))

    assert parameters(on_meta(name)) == 27 * 16 + stages + 2 * 640 + 641 * 10


def test_wrn_40_4_has_the_parameters_that_its_paper_prints():
    assert parameters(on_meta("wrn", depth=40, factor=4)) / 1e6 == pytest.approx(8.9, abs=0.05)


def test_a_depth_that_no_wide_network_has_is_refused():
    with pytest.raises(ValueError, match="6 n \\+ 4"):
        BUILDERS["wrn"](depth=27)


@pytest.mark.parametrize("name", WIDTH)
def test_an_image_of_32_pixels_is_halved_as_often_as_its_paper_says(name):
    network = on_meta(name)
    maps = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *run: maps.append(tuple(run[2].shape)))
    logits = network(torch.empty(2, 3, 32, 32, device="meta"))
    head = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]

    assert logits.shape == (2, 10)
    assert maps[0][2:] == (32, 32)
    assert maps[-1][2:] == (SIDE.get(name, 4),) * 2
    assert head.in_features == WIDTH[name]


def proved(name: str, channels: int, arguments: dict[str, object]) -> tuple[str, float]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = BUILDERS[name](num_classes=7, channels=channels, **arguments).eval()

    def logits_of(index: int) -> torch.Tensor:
        with torch.inference_mode():
            return network(torch.randn(4, channels, 16, 16, generator=torch.Generator().manual_seed(index)))

    card = find_head(network, 7, logits_of).card
    return card.kind, card.proof_error


@pytest.mark.parametrize(("name", "arguments"), SMALL.items())
@pytest.mark.parametrize("channels", [1, 3])
def test_the_head_of_a_small_network_is_found_and_proved(name, arguments, channels):
    kind, error = proved(name, channels, arguments)

    assert kind == "linear"
    assert error < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(WIDTH) - set(SMALL) | {"wrn", "resnext29"}))
def test_the_head_of_a_large_network_is_found_and_proved(name):
    kind, error = proved(name, 3, {})

    assert kind == "linear"
    assert error < 1e-5
