"""A copy of the network that gives the same answers sooner, for searching; every success is the network's own.

Batch normalisation after a convolution is folded into it (one affine map after another is one), and where there was
any, weights lie channels last, which the processor's convolutions prefer then. Measured on one thread of an AMD
EPYC, milliseconds a row forward and back, network / copy: ResNet-20 at 32 px 2.4 / 2.0, at 224 px MobileNetV2 45 / 31,
ResNet-18 92 / 81, ResNet-50 237 / 203. Some convolutions are given another way back (`_input_gradient.py`). A copy in
float32 is made only of a network with something of both. The rule looks at the network and not at a clock, which
would make verdicts depend on what else the machine does. On accelerators, where nothing of this was measured,
weights keep their order in float32, and convolutions their own way back.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from repaudit.attacks._folding import fold, put
from repaudit.attacks._input_gradient import FoldedGradient, pays
from repaudit.attacks.noise import uniforms
from repaudit.foreign import contained
from repaudit.numerics import same_kernels
from repaudit.preprocessing import Layout

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

    from repaudit.attacks import Setting
    from repaudit.classifier import Classifier

LOGITS = {torch.float32: 2e-5, torch.bfloat16: 0.1}
"""Share of the spread of an image's logits by which the copy's may differ."""
COSINE = {torch.float32: 0.9999, torch.bfloat16: 0.7}
"""Least cosine between an image's gradient by the network and by the copy."""
WORTH_A_COPY = 64
"""Queries of an image. PGD-10 on ResNet-20, which breaks all: 3.5 × as fast as foolbox with a copy, 4.2 × without."""
MOVE = 8 / 255
"""How far from its image every second one is on which the copy is tried."""


def worth_a_copy(setting: Setting) -> bool:
    """An image can take so many queries that proving a copy and confirming what it breaks costs less than it spares."""
    queries = sum((member.attack.steps + 1) * member.attack.restarts for member in setting.members())
    return queries >= WORTH_A_COPY


class Scout:
    """The copy; made by `scout`, which proves it first."""

    def __init__(self, classifier: Classifier, network: nn.Module, dtype: torch.dtype) -> None:
        self.network = network
        """Takes normalised images, returns logits; shares tensors with the classifier's network, and changes none."""
        self.half = dtype != torch.float32
        """It searches in half precision: every success of its own has to be confirmed."""
        self._work, self._device, self._dtype = classifier.work, classifier.device, dtype
        self._order = torch.contiguous_format
        self._layout = classifier.card.preprocess.layout
        preprocess = classifier.card.preprocess
        std = torch.tensor(preprocess.std, dtype=torch.float64).reshape(1, -1, 1, 1)
        mean = torch.tensor(preprocess.mean, dtype=torch.float64).reshape(1, -1, 1, 1)
        self._scale = (1 / std).float().to(self._device)
        self._shift = (-mean / std).float().to(self._device)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """The logits of some pixels, counted as work of the classifier.

        Args:
            images: (b, c, h, w) float32 in [0, 1] on the classifier's device; gradients flow back to them once.

        Returns:
            (b, k) float32.
        """
        self._work.forward_rows += len(images)
        normalised: torch.Tensor = _Normalise.apply(images, self._scale, self._shift, self._order)
        if self._layout is Layout.NHWC:
            normalised = normalised.permute(0, 2, 3, 1)
        with contained(), _precision(self._device, self._dtype):
            answered: torch.Tensor = self.network(normalised)
        return answered.float()

    def order_channels_last(self) -> None:
        """Lays images and weights out so."""
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d):  # a weight of its own: the others are the classifier's
                ordered = module.weight.detach().contiguous(memory_format=torch.channels_last)
                module.weight = nn.Parameter(ordered, requires_grad=False)
        self._order = torch.channels_last


def scout(classifier: Classifier, pixels: torch.Tensor, dtype: torch.dtype = torch.float32) -> Scout | None:
    """A copy of the classifier's network that answers alike and sooner, proved on some images.

    Logits may differ by `LOGITS` of their spread, and gradients (of the largest over the second logit) must point
    the same way to `COSINE`; half of the images are asked about as they are, half moved by ±8/255. In bfloat16 the
    backbone runs in autocast and the head in float32, and the bounds only tell a copy that searches well from one
    that does not. The proof costs two calls forward and back, one by each network.

    Args:
        classifier: neither its network nor its features are touched; the rows of the proof are counted as its work.
        pixels: (b, c, h, w) float32 in [0, 1] on its device, as many as a call has.
        dtype: float32 or bfloat16.

    Returns:
        None where there is nothing to win (see the module), or the copy cannot be made or does not answer alike.

    Raises:
        torch.OutOfMemoryError: of the device.
    """
    with same_kernels():
        try:
            copy = _copied(classifier, pixels[:1], dtype)
            return copy if copy is not None and _answers_alike(classifier, copy, pixels, dtype) else None
        except torch.OutOfMemoryError:
            raise
        except Exception:  # a network is anybody's code: what cannot be copied or run otherwise has no copy
            return None


class _Normalise(torch.autograd.Function):
    """Normalises in one pass into the order of the network, and the gradient into that of the pixels."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, images: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, order: torch.memory_format
    ) -> torch.Tensor:
        ctx.save_for_backward(scale)
        if order is torch.contiguous_format:
            return images.mul(scale).add_(shift)
        return torch.addcmul(shift, images, scale, out=torch.empty_like(images, memory_format=order))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (scale,) = ctx.saved_tensors  # type: ignore[attr-defined]
        back = torch.empty_like(gradient, memory_format=torch.contiguous_format)
        return torch.mul(gradient, scale, out=back), None, None, None


class _InFull(nn.Module):
    """A linear layer outside autocast: rounded logits tie, and a search cannot see which way is up."""

    def __init__(self, layer: nn.Linear, device: torch.device) -> None:
        super().__init__()
        self.layer, self._device_type = layer, device.type

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self._device_type, enabled=False):
            answered: torch.Tensor = self.layer(features.float())
        return answered


def _precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def _copied(classifier: Classifier, pixels: torch.Tensor, dtype: torch.dtype) -> Scout | None:
    if not any(isinstance(module, nn.Conv2d) for module in classifier.network.modules()):
        return None
    copy = Scout(classifier, _without_hooks(classifier.network), dtype)
    on_processor = classifier.device.type == "cpu"
    folded = fold(copy.network, lambda: copy.logits(pixels))
    changed = _turn_back(copy.network, channels_last=folded > 0) if on_processor and not copy.half else 0
    if not folded and not changed and not copy.half:
        return None
    if copy.half and classifier.card.head.kind == "linear":
        for name in classifier.card.head.modules:
            _keep_in_full(copy.network, name, classifier.device)
    if copy.half or (folded and on_processor):
        copy.order_channels_last()
    return copy


def _turn_back(network: nn.Module, *, channels_last: bool) -> int:
    """Gives convolutions another way back where that pays, and returns how many."""
    layers = {name: each for name, each in network.named_modules() if isinstance(each, nn.Conv2d) and name}
    chosen = {name: each for name, each in layers.items() if pays(each, channels_last=channels_last)}
    for name, layer in chosen.items():
        put(network, name, FoldedGradient(layer))
    return len(chosen)


def _without_hooks(network: nn.Module) -> nn.Module:
    """A copy of the modules, not of their tensors, without hooks: those of the head hold features of the last pass.

    A network that needs hooks of its own answers otherwise without them, and fails the proof.
    """
    hooks = [
        held
        for module in network.modules()
        for held in (
            module._forward_hooks,
            module._forward_hooks_with_kwargs,
            module._forward_hooks_always_called,
            module._forward_pre_hooks,
            module._forward_pre_hooks_with_kwargs,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    ]
    tensors = [*network.parameters(), *network.buffers()]
    return deepcopy(network, {id(held): type(held)() for held in hooks} | {id(each): each for each in tensors})


def _keep_in_full(network: nn.Module, name: str, device: torch.device) -> None:
    layer = dict(network.named_modules()).get(name)
    if name and isinstance(layer, nn.Linear):
        put(network, name, _InFull(layer, device))


def _answers_alike(classifier: Classifier, copy: Scout, pixels: torch.Tensor, dtype: torch.dtype) -> bool:
    keys = torch.arange(len(pixels), device=pixels.device)
    signs = (uniforms(keys, pixels[0].numel()) - 0.5).sign().reshape(pixels.shape)
    moved = ((keys + 1) % 2).reshape(-1, 1, 1, 1) * MOVE
    images = (pixels + moved * signs).clamp(0, 1)
    expected, answered = images.clone().requires_grad_(), images.requires_grad_()
    with torch.enable_grad():
        exact, near = classifier.logits(expected), copy.logits(answered)
        two = exact.detach().topk(2, dim=1).indices
        (slope,) = torch.autograd.grad(_lead(exact, two), expected)
        (found,) = torch.autograd.grad(_lead(near, two), answered)
    classifier.work.backward_rows += 2 * len(images)
    exact, near = exact.detach(), near.detach()
    spread = exact.amax(dim=1) - exact.amin(dim=1)
    close = (exact - near).abs().amax(dim=1) <= LOGITS[dtype] * spread  # never of NaN
    return bool((close & (_cosine(slope, found) > COSINE[dtype])).all())


def _lead(logits: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    first, second = logits.gather(1, two).unbind(dim=1)
    return (first - second).sum()


def _cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(b,); 1 where both are zero."""
    one, other = one.flatten(1).double(), other.flatten(1).double()
    product, lengths = (one * other).sum(dim=1), one.norm(dim=1) * other.norm(dim=1)
    both_zero = (one == 0).all(dim=1) & (other == 0).all(dim=1)
    cosine = product / lengths.clamp_min(torch.finfo(torch.float64).tiny)
    return torch.where(both_zero, torch.ones_like(cosine), cosine)
