"""What a model source is asked for and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import nn

    from repaudit.preprocessing import Layout, Preprocess
    from repaudit.progress import Progress
    from repaudit.sources._head import FoundHead
    from repaudit.sources._own_normalisation import OwnNormalisation

ArgumentValue: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A model reference and everything on the command line that bears on it."""

    ref: str
    """`[source:]name`, such as `resnet50.a1_in1k` or `weights.pth`."""
    arch: str | None
    """`[source:]name` of the network into which a checkpoint goes."""
    arguments: Mapping[str, ArgumentValue]
    """Keyword arguments of the architecture, from `--set model.<argument>=<value>`."""
    preprocess: str | None
    """`timm:NAME`, `torchvision:NAME/WEIGHTS` or a YAML file; None takes what the source says."""
    device: torch.device
    trust_pickle: bool
    """Unpickling a checkpoint may run any code that its author put there."""
    offline: bool
    """Only what lies in the caches of the Hugging Face hub and of torch."""
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A network on the CPU, before anything about it is proved."""

    network: nn.Module
    """Takes normalised images, returns logits."""
    resolved: str
    """What the reference turned out to be, such as `timm:resnet50.a1_in1k`."""
    source: str
    architecture: str
    preprocess: Preprocess | None
    """None where the source does not know: it is then asked for, never guessed."""
    class_ids: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each file read, by file name."""
    notes: tuple[str, ...] = ()
    convert: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] | None = None
    """Translates weights of an earlier naming of this architecture; may raise anything on foreign ones."""
    layout: Layout | None = None
    """Order of the axes, where the network itself says it."""
    size: tuple[int, int] | None = None
    """(height, width), where the network takes no other."""
    weights_sha256: str | None = None
    """Where the state of the network is not all that its answers depend on."""
    params_count: int | None = None
    find_head: Callable[[Callable[[int], torch.Tensor]], FoundHead] | None = None
    """Proves a head that was found otherwise than in the modules; given how to ask for logits of proof batches."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Versions of programs other than torch that answer, by name."""
    gradients_elsewhere: bool = False
    """Another program than the one that answers gives the gradients."""
    own_normalisation: OwnNormalisation | None = None
    """What the network itself does to its input before its first layer, where that is seen to normalise."""
    softmax_cut: bool = False
    """A closing softmax was cut off: the network answers with logits, whatever they look like."""
    no_gradients: str | None = None
    """Why no gradients reach the pixels, where the source knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One way in which people name models; the constant `source` of a file of this folder.

    The file's name is the prefix of its references.
    """

    summary: str
    """What such a reference names, in one line."""
    examples: tuple[str, ...]
    open: Callable[[str, ModelRequest], Draft]
    """The network of a name, with its weights."""
    build: Callable[[str, ModelRequest], Draft] | None
    """The same network without weights, for `--arch`; None where a name means no architecture."""
