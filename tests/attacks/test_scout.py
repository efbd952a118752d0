"""The faster copy: the same logits as the network it was made from, which it never touches."""

import threading

import pytest
import torch
from torch import nn

from repaudit.attacks.scout import scout
from repaudit.sources import load_model


def settled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Batch normalisation with statistics that folding can get wrong."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.2, 3.0)
                if module.affine:
                    nn.init.normal_(module.weight)
                    nn.init.normal_(module.bias)
    return network


def built(*layers, classes=5):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = [make() for make in layers]
        width = nn.Sequential(*body)(torch.zeros(2, 3, 12, 9)).shape[1]
        return settled(
            nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes)).eval()
        )


def normalised():
    return built(
        lambda: nn.Conv2d(3, 16, 3, padding=1, bias=False),
        lambda: nn.BatchNorm2d(16),
        nn.ReLU,
        lambda: nn.Conv2d(16, 24, 3, stride=2, padding=1, groups=8),
        lambda: nn.BatchNorm2d(24, affine=False),
        nn.ReLU,
    )


class TwoReaders(nn.Module):
    """A convolution whose output is normalised and also added as it is."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        y = self.conv(x)
        return self.bn(y) + y


class Tied(nn.Module):
    """One normalisation after either of two convolutions."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.bn = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(self.two(self.bn(self.one(x))))


@pytest.fixture
def pixels():
    return torch.rand(8, 3, 12, 9, generator=torch.Generator().manual_seed(3))


def answers(logits_of, pixels, labels):
    """Logits and the gradient of the label's logit."""
    query = pixels.clone().requires_grad_()
    logits = logits_of(query)
    (gradient,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), query)
    return logits.detach(), gradient


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.45, 0.22)])
def test_the_copy_answers_as_the_network_does_in_double_precision(make_classifier, pixels, mean, std):
    classifier = make_classifier(normalised(), mean=mean, std=std)
    copy = scout(classifier, pixels)
    labels = torch.arange(8) % 5

    logits, gradient = answers(copy.logits, pixels, labels)
    double = normalised().double()
    exact, slope = answers(lambda query: double((query.double() - mean) / std), pixels, labels)

    spread = exact.amax(1) - exact.amin(1)
    assert ((logits - exact).abs().amax(1) / spread).max() < 2e-5
    torch.testing.assert_close(gradient, slope, rtol=1e-3, atol=1e-5 * float(slope.abs().max()))


def test_nothing_is_normalised_in_the_copy_any_more(make_classifier, pixels):
    copy = scout(make_classifier(normalised()), pixels)

    assert not [module for module in copy.network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_normalisation_that_activates_too_is_folded(make_classifier, pixels):
    norm_act = pytest.importorskip("timm.layers").BatchNormAct2d
    network = built(
        lambda: nn.Conv2d(3, 16, 3), lambda: norm_act(16), lambda: nn.Conv2d(16, 16, 3), lambda: norm_act(16)
    )
    classifier = make_classifier(network)

    copy = scout(classifier, pixels)

    assert not [module for module in copy.network.modules() if isinstance(module, nn.BatchNorm2d)]
    torch.testing.assert_close(copy.logits(pixels), classifier.logits(pixels), rtol=1e-4, atol=1e-5)


def test_the_original_keeps_its_bytes_its_hooks_and_its_features(make_classifier, pixels):
    network = normalised()
    classifier = make_classifier(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    hooks = len(network[-1]._forward_pre_hooks)

    copy = scout(classifier, pixels)
    features = classifier.features(pixels)
    copy.logits(pixels + 0.1)
    torch.testing.assert_close(classifier.features(pixels), features, rtol=0, atol=0)

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(not module._forward_hooks for module in network.modules())
    assert len(network[-1]._forward_pre_hooks) == hooks == 1
    assert network[0].weight.is_contiguous()
    assert isinstance(network[1], nn.BatchNorm2d)
    with pytest.raises(IndexError):  # the fixture's list of features: one for each pass of the original, all taken
        classifier.split.collect()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_is_answered_alike_to_the_bit_whatever_lies_beside_it(make_classifier, pixels, dtype):
    copy = scout(make_classifier(normalised()), pixels, dtype)
    labels = torch.arange(8) % 5
    logits, gradient = answers(copy.logits, pixels, labels)

    order = torch.tensor([5, 2, 7, 0])
    others = torch.rand(4, 3, 12, 9, generator=torch.Generator().manual_seed(9))
    crowd = torch.cat([others[:2], pixels[order], others[2:]])
    seen, slope = answers(copy.logits, crowd, torch.cat([labels[:2], labels[order], labels[:2]]))

    assert torch.equal(seen[2:6], logits[order])
    assert torch.equal(slope[2:6], gradient[order])


def test_gradients_lie_in_memory_as_the_pixels_do(make_classifier, pixels):
    copy = scout(make_classifier(normalised()), pixels)
    _, gradient = answers(copy.logits, pixels, torch.zeros(8, dtype=torch.int64))

    assert gradient.is_contiguous()


def test_rows_of_the_copy_are_counted_like_the_networks(make_classifier, pixels):
    classifier = make_classifier(normalised())
    copy = scout(classifier, pixels)
    before = classifier.work.forward_rows
    copy.logits(pixels)

    assert classifier.work.forward_rows == before + 8


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([lambda: nn.Conv2d(3, 8, 3), nn.ReLU], id="nothing to fold"),
        pytest.param([TwoReaders], id="the convolution has a second reader"),
        pytest.param([Tied], id="one normalisation runs twice"),
        pytest.param(
            [lambda: nn.Conv2d(3, 8, 3), lambda: nn.BatchNorm2d(8, track_running_stats=False)],
            id="statistics of the batch",
        ),
        pytest.param([lambda: nn.Conv2d(3, 8, 3), nn.ReLU, lambda: nn.BatchNorm2d(8)], id="something lies between"),
        pytest.param(
            [lambda: nn.Conv2d(3, 8, 3), lambda: nn.ReLU(inplace=True), lambda: nn.BatchNorm2d(8)],
            id="something is done in place between",
        ),
    ],
)
def test_normalisation_that_belongs_to_no_convolution_stays_where_it_is(make_classifier, pixels, layers):
    network = built(*layers)

    copy = scout(make_classifier(network), pixels)

    kept = [] if copy is None else [module for module in copy.network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert copy is None or len(kept) == sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_copy_shares_the_weights_that_it_does_not_change(make_classifier, pixels):
    network = built(lambda: nn.Conv2d(3, 8, 3), nn.ReLU)

    copy = scout(make_classifier(network), pixels)

    mine, theirs = ({value.data_ptr() for value in each.parameters()} for each in (network, copy.network))
    assert mine == theirs


def test_there_is_no_copy_where_there_is_nothing_to_win(make_classifier, pixels):
    network = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 8, 3, dilation=2, padding=2), nn.Flatten(), nn.Linear(192, 5))

    assert scout(make_classifier(network), pixels) is None


def test_what_is_activated_in_place_before_it_is_normalised_does_not_keep_the_rest_from_folding(
    make_classifier, pixels
):
    network = built(
        lambda: nn.Conv2d(3, 8, 3),
        lambda: nn.ReLU(inplace=True),
        lambda: nn.BatchNorm2d(8),
        lambda: nn.Conv2d(8, 8, 3),
        lambda: nn.BatchNorm2d(8),
    )

    copy = scout(make_classifier(network), pixels)

    assert len([module for module in copy.network.modules() if isinstance(module, nn.BatchNorm2d)]) == 1


def test_there_is_no_copy_of_a_network_without_convolutions(make_classifier, pixels):
    network = nn.Sequential(nn.Flatten(), nn.Linear(324, 5))

    assert scout(make_classifier(network), pixels) is None
    assert scout(make_classifier(network), pixels, torch.bfloat16) is None


def test_there_is_no_copy_of_what_cannot_be_copied(make_classifier, pixels):
    network = normalised()
    network.lock = threading.Lock()

    assert scout(make_classifier(network), pixels) is None


def test_a_network_that_lives_by_its_hooks_is_found_out_by_the_proof(make_classifier, pixels):
    network = normalised()
    network[2].register_forward_hook(lambda _, __, output: output * 2)

    assert scout(make_classifier(network), pixels) is None


def test_no_hook_is_left_behind_and_no_generator_is_moved(make_classifier, pixels):
    state = torch.random.get_rng_state()
    copy = scout(make_classifier(normalised()), pixels)

    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in copy.network.modules())


def test_half_precision_stays_near_and_its_head_is_in_full(make_classifier, pixels):
    network = built(lambda: nn.Conv2d(3, 16, 3), nn.ReLU, lambda: nn.Conv2d(16, 16, 3), nn.ReLU)
    classifier = make_classifier(network)

    copy = scout(classifier, pixels, torch.bfloat16)
    logits = copy.logits(pixels)

    assert logits.dtype == torch.float32
    exact = classifier.logits(pixels)
    assert ((logits - exact).abs().amax(1) / (exact.amax(1) - exact.amin(1))).max() < 0.05
    assert not torch.equal(logits, exact)


def test_a_published_network_has_a_copy_that_answers_alike(real_arguments):
    classifier = load_model(**real_arguments("resnet20"))
    pixels = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    copy = scout(classifier, pixels)

    exact = classifier.logits(pixels)
    assert ((copy.logits(pixels) - exact).abs().amax(1) / (exact.amax(1) - exact.amin(1))).max() < 2e-5
    assert not [module for module in copy.network.modules() if isinstance(module, nn.BatchNorm2d)]
