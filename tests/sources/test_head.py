"""The head is proved, not assumed: features @ W.T + b are the logits, or there is a true reason why not."""

import pytest
import timm
import torch
from torch import nn

from repaudit.classifier import Capability
from repaudit.progress import SilentProgress
from repaudit.sources import Draft, ModelRequest
from repaudit.sources._assemble import assemble
from repaudit.sources._head import find_head
from repaudit.sources._preprocess import from_mapping


def classifier_of(network: nn.Module, size: int | None, channels: int = 3):
    preprocess = from_mapping({"mean": [0.5] * channels, "std": [0.25] * channels, "size": size}, "test")
    request = ModelRequest(
        ref="network",
        arch=None,
        arguments={},
        preprocess=None,
        device=torch.device("cpu"),
        trust_pickle=False,
        offline=True,
        progress=SilentProgress(),
    )
    draft = Draft(network=network, resolved="test", source="test", architecture="test", preprocess=preprocess)
    return assemble(draft, request)


def disturbed(network: nn.Module) -> nn.Module:
    """Moves every weight, so that no bias is zero and no two heads agree by initialisation."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def unseen(size: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(3, channels, size, size, generator=torch.Generator().manual_seed(77))


SINGLE = [
    ("resnet10t", 64, {}, 512),
    ("vit_tiny_patch16_224", 64, {"img_size": 64}, 192),
    ("convnext_atto", 64, {}, 320),
    ("efficientnet_lite0", 64, {}, 1280),
    ("mobilenetv3_small_050", 64, {}, 1024),
    ("xcit_nano_12_p16_224", 64, {}, 128),
    ("edgenext_xx_small", 64, {}, 168),
    ("regnetx_002", 64, {}, 368),
    ("mobilevit_xxs", 64, {}, 320),
    ("eva02_tiny_patch14_224", 56, {"img_size": 56}, 192),
]
AVERAGED = [
    ("deit_tiny_distilled_patch16_224", 64, {"img_size": 64}, 2 * 192),
    ("repvit_m0_9", 64, {}, 2 * 384),
    ("levit_128s", 224, {}, 2 * 384),
    ("crossvit_tiny_240", 240, {}, 96 + 192),
    ("efficientvim_m1", 64, {}, None),
]
CONVOLUTION = [("dla46_c", 64, {}, 256), ("dpn48b", 64, {}, 832)]
INNER = [("cpubone_nano", 64, {}, 1600), ("caformer_s18", 64, {}, 2048)]


@pytest.mark.parametrize(
    ("kind", "name", "size", "arguments", "width"),
    [("linear", *row) for row in SINGLE + INNER]
    + [("averaged linear", *row) for row in AVERAGED]
    + [("1x1 convolution", *row) for row in CONVOLUTION],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_features_times_weights_are_the_logits_of_a_timm_network(kind, name, size, arguments, width):
    network = disturbed(timm.create_model(name, num_classes=37, **arguments))
    images = unseen(size)
    with torch.inference_mode():
        expected = network((images - 0.5) / 0.25)

    classifier = classifier_of(network, size)
    features = classifier.features(images)

    scale = expected.abs().max()
    assert classifier.card.head.kind == kind
    assert features.shape == (3, width or classifier.card.head.feature_width)
    assert (classifier.logits(images) - expected).abs().max() <= 1e-5 * scale
    assert (features @ classifier.split.weight.T + classifier.split.bias - expected).abs().max() <= 1e-4 * scale
    assert {Capability.FEATURES, Capability.LINEAR_HEAD, Capability.GRADIENTS} == classifier.capabilities


@pytest.mark.parametrize(("name", "size", "arguments", "width"), SINGLE[:5], ids=lambda value: str(value))
def test_the_feature_is_what_timm_calls_the_pre_logits(name, size, arguments, width):
    network = disturbed(timm.create_model(name, num_classes=37, **arguments))
    images = unseen(size)
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features((images - 0.5) / 0.25), pre_logits=True)

    features = classifier_of(network, size).features(images)

    assert torch.allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_volo_has_no_linear_head_because_its_auxiliary_head_takes_a_maximum():
    network = disturbed(timm.create_model("volo_d1_224", num_classes=37, img_size=64))

    card = classifier_of(network, 64).card

    assert card.head.kind == "none"
    assert "not affine in the input of `head`" in card.head.reason
    assert any(card.head.reason in note for note in card.notes)


def test_squeezenet_has_no_linear_head_because_a_relu_follows_its_convolution():
    from torchvision.models import squeezenet1_1

    classifier = classifier_of(disturbed(squeezenet1_1(num_classes=37)), 64)

    assert classifier.card.head.kind == "none"
    assert "not affine in the input of `classifier.1`" in classifier.card.head.reason
    assert classifier.capabilities == {Capability.GRADIENTS}
    with pytest.raises(ValueError, match="no linear head"):
        classifier.features(unseen(64))


class Custom(nn.Module):
    """A small backbone under a forward() of one's own."""

    def __init__(self, finish, **layers: nn.Module) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.layers = nn.ModuleDict(layers)
        self.finish = finish
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    def forward(self, images):
        return self.finish(self.layers, self.backbone(images))


def linear(width: int = 48, classes: int = 7, **options) -> nn.Linear:
    return nn.Linear(width, classes, **options)


TRUE_HEADS = {
    "no bias": (Custom(lambda m, f: m["a"](f), a=linear(bias=False)), 48),
    "dropout before it": (Custom(lambda m, f: m["a"](m["d"](f)), d=nn.Dropout(0.9), a=linear()), 48),
    "learned mixing": (Custom(lambda m, f: 0.7 * m["a"](f) + 0.3 * m["b"](f.tanh()), a=linear(), b=linear()), 96),
    "a constant temperature": (Custom(lambda m, f: 3.5 * m["a"](f), a=linear()), 48),
    "an unused auxiliary head": (
        Custom(lambda m, f: (m["a"](f), m["b"](f))[0], a=linear(), b=linear()),
        48,
    ),
    "tokens averaged afterwards": (Custom(lambda m, f: m["a"](f.reshape(-1, 4, 12)).mean(1), a=linear(12)), 12),
    "a closing softmax": (Custom(lambda m, f: m["s"](m["a"](f)), a=linear(), s=nn.Softmax(1)), 48),
    "a closing log-softmax": (Custom(lambda m, f: m["s"](m["a"](f)), a=linear(), s=nn.LogSoftmax(-1)), 48),
}


@pytest.mark.parametrize("case", TRUE_HEADS)
def test_an_affine_last_step_is_found_in_unusual_places(case):
    network, width = TRUE_HEADS[case]
    classifier = classifier_of(network, 16)
    images = unseen(16)

    features = classifier.features(images)

    assert features.shape == (3, width)
    assert torch.allclose(classifier.head(features), classifier.logits(images), rtol=1e-4, atol=1e-5)


def biased(bias: float, finish) -> Custom:
    network = Custom(finish, a=linear())
    nn.init.constant_(network.layers["a"].bias, bias)
    return network


NO_HEADS = {
    "tanh": (Custom(lambda m, f: m["a"](f).tanh(), a=linear()), "not affine"),
    "relu": (Custom(lambda m, f: m["a"](f).relu(), a=linear()), "not affine"),
    "cosine": (Custom(lambda m, f: m["a"](f) / f.norm(dim=1, keepdim=True), a=linear()), "not affine"),
    "twice": (Custom(lambda m, f: m["a"](f) + m["a"](f * f), a=linear()), "runs 2 times"),
    "functional": (Custom(lambda m, f: f @ m["a"].weight.T, a=linear()), "not called as a layer"),
    "a row with large logits beside others": (
        Custom(lambda m, f: m["a"](f * (1 + 1e5 * (f.mean(1, keepdim=True) > -0.1))) + f[:, :7].sin(), a=linear()),
        "not affine",
    ),
    "a large bias": (biased(1e4, lambda m, f: m["a"](f) + 0.3 * (9 * f[:, :7]).sin()), "not affine"),
    "none": (Custom(lambda m, f: f[:, :7].sin()), "no linear layer and no 1×1 convolution has 7 outputs"),
    "log-softmax": (Custom(lambda m, f: m["a"](f).log_softmax(1), a=linear()), "log-softmax inside forward"),
}


@pytest.mark.parametrize("case", NO_HEADS)
def test_where_no_affine_last_step_exists_the_reason_is_true_and_logits_remain(case):
    network, reason = NO_HEADS[case]
    images = unseen(16)
    with torch.inference_mode():
        expected = network((images - 0.5) / 0.25)

    classifier = classifier_of(network, 16)

    assert classifier.card.head.kind == "none"
    assert reason in classifier.card.head.reason
    assert classifier.split is None
    assert Capability.LINEAR_HEAD not in classifier.capabilities
    assert torch.equal(classifier.logits(images), expected)


class Positions(nn.Module):
    """A linear head at every position; of a 32×32 image there is one."""

    def __init__(self, pool) -> None:
        super().__init__()
        self.body, self.head, self.pool = nn.Conv2d(3, 6, 32, 32), nn.Conv2d(6, 5, 1), pool

    def forward(self, images):
        return self.pool(self.head(self.body(images).relu()))


def test_a_maximum_over_positions_is_no_head_though_one_position_shows_none():
    card = classifier_of(disturbed(Positions(lambda z: z.amax((2, 3)))), None).card

    assert card.checked_size == (32, 32)
    assert "not affine in the input of `head` on 64×64 images" in card.head.reason


def test_a_mean_over_positions_is_a_head_where_no_size_is_given():
    classifier = classifier_of(disturbed(Positions(lambda z: z.mean((2, 3)))), None)
    images = unseen(96)

    assert classifier.card.head.kind == "1x1 convolution"
    assert torch.allclose(classifier.head(classifier.features(images)), classifier.logits(images), atol=1e-5)


def test_the_closing_softmax_layer_is_bypassed_and_the_card_says_so():
    inner = Custom(lambda m, f: m["a"](f), a=linear())
    images = unseen(16)
    with torch.inference_mode():
        expected = inner((images - 0.5) / 0.25)

    classifier = classifier_of(nn.Sequential(inner, nn.Softmax(dim=1)), 16)

    assert torch.equal(classifier.logits(images), expected)
    assert any("Softmax `1` is bypassed" in note for note in classifier.card.notes)


def test_probabilities_without_a_softmax_layer_become_their_logarithm_with_a_warning():
    inner = Custom(lambda m, f: m["a"](f), a=linear())
    images = unseen(16)
    with torch.inference_mode():
        expected = inner((images - 0.5) / 0.25).log_softmax(1)

    classifier = classifier_of(Custom(lambda m, f: m["a"](f).softmax(1), a=inner.layers["a"]).requires_grad_(False), 16)
    classifier.network.network.backbone.load_state_dict(inner.backbone.state_dict())

    assert torch.allclose(classifier.logits(images), expected, atol=1e-5)
    assert any(note.startswith("warning") and "probabilities" in note for note in classifier.card.notes)


def test_an_attention_softmax_inside_the_network_is_left_alone():
    attention = Custom(lambda m, f: m["a"](f * m["s"](f)), a=linear(), s=nn.Softmax(1))
    images = unseen(16)
    with torch.inference_mode():
        expected = attention((images - 0.5) / 0.25)

    assert torch.equal(classifier_of(attention, 16).logits(images), expected)


def test_a_network_that_detaches_has_no_gradients():
    classifier = classifier_of(Custom(lambda m, f: m["a"](f.detach()), a=linear()), 16)

    assert classifier.capabilities == {Capability.FEATURES, Capability.LINEAR_HEAD}


def test_gradients_flow_from_features_and_logits_back_to_the_pixels():
    classifier = classifier_of(Custom(lambda m, f: m["a"](f), a=linear()), 16)
    images = unseen(16).requires_grad_()

    output = classifier.forward(images)
    (output.features.sum() + output.logits.sum()).backward()

    assert images.grad.abs().min(dim=0).values.max() > 0
    assert all(parameter.grad is None for parameter in classifier.network.parameters())


def test_features_belong_to_the_pass_that_just_ran_and_are_taken_once():
    classifier = classifier_of(Custom(lambda m, f: m["a"](f), a=linear()), 16)
    first, second = classifier.features(unseen(16)), classifier.features(1 - unseen(16))

    assert not torch.allclose(first, second)
    with pytest.raises(RuntimeError, match="has not run"):
        classifier.split.collect()


def test_the_network_is_handed_over_in_eval_mode_and_frozen():
    network = timm.create_model("resnet10t", num_classes=5).train()

    classifier = classifier_of(network, 64)

    assert not any(module.training for module in classifier.network.modules())
    assert not any(parameter.requires_grad for parameter in classifier.network.parameters())


def test_loading_leaves_the_global_random_state_alone():
    network = Custom(lambda m, f: m["a"](f), a=linear())
    before = torch.get_rng_state()

    classifier_of(network, None)

    assert torch.equal(torch.get_rng_state(), before)


def rows_at_load(network, side):
    """How many images pass the network while it becomes a classifier."""
    passed = []
    hook = network.register_forward_pre_hook(lambda _, inputs: passed.append(len(inputs[0])))
    classifier = classifier_of(network, side)
    hook.remove()
    return classifier, sum(passed)


def test_the_pass_that_tells_the_classes_proves_the_head():
    classifier, rows = rows_at_load(nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5)), 2)

    assert classifier.card.head.modules == ("3",)
    assert rows == 4 + 1  # the proof's, and one with its gradient


def test_a_head_is_found_where_another_linear_layer_is_registered_behind_it():
    network = nn.ModuleDict({"body": nn.Flatten(), "fc": nn.Linear(12, 5), "unused": nn.Linear(12, 7)})
    network.forward = lambda images: network["fc"](network["body"](images))

    classifier, rows = rows_at_load(network, 2)

    assert classifier.card.head.modules == ("fc",)
    assert rows == 4 + 4 + 1  # the guess was wrong: the head needs a pass of its own


def test_a_head_that_answers_for_a_sequence_of_which_the_first_position_counts_is_found():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.proj = nn.Conv2d(3, 5, 4, 4), nn.Linear(5, 7)

        def forward(self, images):
            return self.proj(self.tokens(images).flatten(2).transpose(1, 2))[:, 0]

    network = Pooled().eval()
    batches = [torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    with torch.no_grad():
        found = find_head(network, 7, lambda index: network(batches[index]))
        logits = network(batches[1])
        features = found.head.collect()

    assert found.card.modules == ("proj",)
    assert features.shape == (4, 5)
    assert torch.allclose(features @ found.head.weight.T + found.head.bias, logits, atol=1e-6)
