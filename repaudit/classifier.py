"""A pretrained classifier, split at its penultimate layer, taking pixels in [0, 1]."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from repaudit.foreign import contained
from repaudit.preprocessing import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from repaudit.finding import Notice
    from repaudit.preprocessing import Preprocess


HEAD_TOLERANCE = 1e-4
"""Share of the spread of an image's logits by which `f W.T + b` may differ from them in float32."""


class Capability(StrEnum):
    """What an audit may need from a classifier."""

    FEATURES = "features"
    LINEAR_HEAD = "linear_head"
    GRADIENTS = "gradients"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCard:
    """How the classifier was split, or why it could not be."""

    kind: str
    """`linear`, `averaged linear`, `1x1 convolution` or `none`."""
    modules: tuple[str, ...] = ()
    """Names of the layers whose input is the feature."""
    feature_width: int | None = None
    proof_error: float | None = None
    """Largest |f W.T + b − logits| of an image, divided by the spread (max − min) of its logits, on the proof batch."""
    tolerance: float = HEAD_TOLERANCE
    """Up to here a proof error counts as rounding."""
    reason: str | None = None
    """Why there is no linear head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where a classifier comes from: all that its numbers depend on."""

    ref: str
    resolved: str
    """What the reference resolved to, such as `timm:resnet50.a1_in1k`."""
    source: str
    architecture: str
    arguments: Mapping[str, str | int | float | bool]
    """Keyword arguments of the architecture."""
    weights_sha256: str
    """Over names, dtypes, shapes and bytes of the loaded state, whatever file it came from."""
    files: Mapping[str, str]
    """sha256 of each file read (weights, `py:` source) by file name."""
    preprocess: Preprocess
    params_count: int
    classes_count: int
    class_ids: tuple[str, ...] | None
    """Stable names of the classes in the model's order (ImageNet: wnids), where known."""
    head: HeadCard
    notes: tuple[str, ...] = ()
    """Remarks of the loading: which nested key was used, what was stripped."""
    notices: tuple[Notice, ...] = ()
    """What a reader of the report must know of how it was loaded."""
    checked_size: tuple[int, int] | None = None
    """(height, width) of the images on which it was checked when it was loaded, where it was."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Versions of programs other than torch that answer, by name."""
    operations: int | None = None
    """Floating-point operations of its convolutions and matrix products on one such image, if known."""


@dataclass(slots=True)
class Work:
    """What was asked of the network: the honest cost of an audit."""

    forward_rows: int = 0
    backward_rows: int = 0
    jobs_known: int = 0
    """Jobs of attacks that an earlier run had finished."""
    jobs_searched: int = 0


class Head(Protocol):
    """The proved affine last step: `features @ weight.T + bias == logits`."""

    weight: torch.Tensor
    """(c, d) float32."""
    bias: torch.Tensor
    """(c,) float32, zeros where the layer has none."""

    def collect(self) -> torch.Tensor:
        """(b, d): the features of the forward pass that just ran; may be taken once."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """What one forward pass gives."""

    logits: torch.Tensor
    """(b, c)."""
    features: torch.Tensor | None
    """(b, d), or None without a linear head."""
    answered: torch.Tensor
    """(b, c) as the network itself gave them: coarser than `logits` in half precision, and the same in float32."""


@dataclass
class Classifier:
    """Backbone + linear head + normalisation; eval mode, frozen.

    Built by `repaudit.sources`, which proves the head on one batch before anybody sees it.
    """

    network: nn.Module
    """Takes normalised images, returns logits (b, c)."""
    card: Card
    split: Head | None
    device: torch.device
    capabilities: frozenset[Capability]
    work: Work = field(default_factory=Work)
    gradients_elsewhere: bool = False
    """Another program than the one that answers gives the gradients: what is found by them is asked once more."""
    _lost: Head | None = field(default=None, init=False, repr=False)
    """A head that images disproved; what it keeps of each pass is thrown away."""

    def __post_init__(self) -> None:
        preprocess = self.card.preprocess
        shape = (1, preprocess.channels, 1, 1)
        self._mean = torch.tensor(preprocess.mean, dtype=torch.float32, device=self.device).reshape(shape)
        self._std = torch.tensor(preprocess.std, dtype=torch.float32, device=self.device).reshape(shape)
        self.network.to(self.device).eval().requires_grad_(False)

    def forward(self, images: torch.Tensor, dtype: torch.dtype = torch.float32) -> Output:
        """Logits and features of one batch in one pass.

        Args:
            images: (b, c, h, w) float32 in [0, 1] on `device`; gradients flow back to them.
            dtype: float32, or bfloat16 for an autocast backbone; a linear head is always applied in float32.

        Raises:
            RuntimeError: the network tried to end the program; whatever else it raises comes through.
        """
        self.work.forward_rows += len(images)
        normalised = (images - self._mean).div_(self._std)
        if self.card.preprocess.layout is Layout.NHWC:
            normalised = normalised.permute(0, 2, 3, 1)
        with contained(), self._precision(dtype):
            logits: torch.Tensor = self.network(normalised)
        if self._lost is not None:
            self._lost.collect()
        if self.split is None:
            return Output(logits.float(), None, logits.float())
        features = self.split.collect().float()
        # Half precision belongs to the backbone alone: features and logits stay one affine map apart.
        return Output(logits if dtype == torch.float32 else self.head(features), features, logits)

    def lose_head(self, reason: str, *notices: Notice) -> None:
        """Goes on without a linear head and without features, where images showed that the proved one is none."""
        self._lost, self.split = self.split, None
        self.capabilities -= {Capability.FEATURES, Capability.LINEAR_HEAD}
        self.card = replace(
            self.card,
            head=HeadCard(kind="none", reason=reason),
            notes=(*self.card.notes, f"no linear head: {reason}"),
            notices=(*self.card.notices, *notices),
        )

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(b, c) logits of (b, c, h, w) pixels."""
        return self.forward(images).logits

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(b, d) penultimate features of (b, c, h, w) pixels.

        Raises:
            ValueError: the classifier has no linear head.
        """
        features = self.forward(images).features
        if features is None:
            raise ValueError(f"no linear head: {self.card.head.reason}")
        return features

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """(b, c) logits of (b, d) features.

        Raises:
            ValueError: the classifier has no linear head.
        """
        if self.split is None:
            raise ValueError(f"no linear head: {self.card.head.reason}")
        return features @ self.split.weight.T + self.split.bias

    def _precision(self, dtype: torch.dtype) -> AbstractContextManager[object]:
        if dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)
