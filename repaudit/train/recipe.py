"""What a training recipe may say: network, data, methods, optimiser, schedule, objective and audit."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from repaudit.train.method import Smoothing, parse_method

Argument = str | int | float | bool
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Nodes = Annotated[int, Field(ge=1)]
MethodName = Annotated[str, AfterValidator(lambda text: parse_method(text).name)]
_Value = TypeVar("_Value", str, float, int)
INCONSISTENT = "inconsistent"
"""Type of a mistake between several keys; its context holds `remedy`."""


def _each_once(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    """Runs of equal settings would share a folder."""
    return tuple(dict.fromkeys(values))


def _inconsistent(message: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError(INCONSISTENT, "{told}", {"told": message, "remedy": remedy})


class Section(BaseModel):
    """A part of a recipe: frozen, and no key but those that it declares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataSection(Section):
    """Which images, and how they become what the network takes."""

    train: str | None = None
    """Data reference of the training images; `--data` replaces it."""
    test: str | None = None
    """Of the images that are never trained on; without it those that belong to `train`, or a fifth of them."""
    classes: int | None = Field(default=None, ge=2)
    """Known by most layouts."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Per channel, of pixels in [0, 1]; one value makes a grey network."""
    std: tuple[Positive, ...] = (0.5, 0.5, 0.5)
    size: tuple[int, int] | None = None
    """(height, width) that the network takes; null leaves images as they are stored."""
    resize: int | None = None
    """Side before the crop of the evaluation; null resizes straight to `size`."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bicubic"
    limit: int | None = Field(default=None, ge=1)
    """Training images at most, stratified by class."""

    @model_validator(mode="after")
    def _same_channels(self) -> Self:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise _inconsistent(
                f"mean has {len(self.mean)} values and std {len(self.std)}; one or three each are wanted",
                "--set data.mean='[0.5]' --set data.std='[0.5]'   (a grey network)",
            )
        return self


class Initialisation(StrEnum):
    """Where a network with two features begins (RS, Fig. 12); `repaudit.train.initialise` has the numbers."""

    DEFAULT = "default"
    FAR_EXTRACTOR = "far-extractor"
    FAR_HEAD = "far-head"
    FAR_BOTH = "far-both"


class NetworkSection(Section):
    """What is trained."""

    arch: str = "baseline:digits"
    """A timm name, `torchvision:NAME`, `baseline:NAME` or `py:FILE.py:factory`."""
    arguments: dict[str, Argument] = {}
    """Keyword arguments of the architecture, without the number of classes."""
    bottleneck: Literal[2, 3] | None = None
    """Width of a linear layer put before the head, to draw the features (RS, appendix H)."""
    initialisation: Initialisation = Initialisation.DEFAULT
    """With a bottleneck of 2: whether the extractor's features, the head or both begin far from the origin."""
    start: str | None = None
    """Checkpoint to begin with instead of random weights."""


class SmoothingSection(Section):
    """Label smoothing."""

    alpha: Share = 0.1
    """Mass spread over all K classes, the right one included."""


class MixingSection(Section):
    """Mixup or CutMix."""

    a: Positive = 1.0
    """Of Beta(a, a), from which the share of a batch is drawn."""


class VirtualSection(Section):
    """Virtual smoothing."""

    alpha: Share = 0.5
    """Mass of all virtual classes together."""
    virtual: int | None = Field(default=None, ge=1)
    """V; null takes as many as there are real classes."""


class OptimizerSection(Section):
    """How weights move."""

    name: Literal["sgd", "adamw"] = "sgd"
    rate: Positive = 0.1
    """Highest learning rate."""
    momentum: Share = 0.9
    """Of SGD."""
    nesterov: bool = False
    weight_decay: float = Field(default=1e-4, ge=0)
    """On all weights, virtual rows included."""
    clip_norm: Positive | None = None
    """Largest norm of the whole gradient."""


class ScheduleSection(Section):
    """How the learning rate moves, in epochs."""

    shape: Literal["constant", "cosine", "steps"] = "cosine"
    warmup: float = Field(default=0, ge=0)
    warmup_from: float = Field(default=0, ge=0)
    """Rate of the first step."""
    floor: float = Field(default=0, ge=0)
    """Rate at the end of a cosine."""
    milestones: tuple[Positive, ...] = ()
    factor: Positive = 0.1
    """At each milestone."""


class AugmentationSection(Section):
    """What happens to an image before it is mixed."""

    pad: int = Field(default=0, ge=0)
    """Most pixels that an image is shifted by."""
    border: Literal["zeros", "reflect"] = "zeros"
    flip: bool = False
    """Mirrors one image in two from left to right."""
    resized_crop: tuple[Positive, Positive] | None = None
    """Least and largest share of a photograph's area that is cut out and resized, as ImageNet is trained."""


class ObjectiveSection(BaseModel):
    """What is minimised; `name` is a file of `repaudit/train/objectives`, the other keys are its own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "standard"


class ScanSection(Section):
    """How each run is audited."""

    profile: str = "quick"
    settings: tuple[str, ...] = ()
    """`KEY=VALUE` each, as after `--set` of `scan`."""


class Recipe(Section):
    """Everything that decides what is trained and how it is audited."""

    version: Literal[1] = 1
    about: str = ""
    """One sentence."""
    source: str | None = None
    """Paper and table that the settings are from."""
    reg: Annotated[tuple[MethodName, ...], AfterValidator(_each_once)] = ("onehot", "ls", "mixup", "cutmix", "vs")
    seeds: int = Field(default=3, ge=1)
    alphas: Annotated[tuple[Share, ...], AfterValidator(_each_once)] = ()
    """Grid of masses for label smoothing and virtual smoothing; chosen on images kept back from training."""
    virtuals: Annotated[tuple[Nodes, ...], AfterValidator(_each_once)] = ()
    """Grid of numbers of virtual classes; all are shown, and none is chosen."""
    held_out: Share = 0.0
    """Share of the training images that is kept back to choose by; needed for a grid."""
    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=128, ge=2)
    snapshots: int | None = Field(default=None, ge=1)
    """With a bottleneck of 2: every so many epochs the plane of the features is kept; null keeps none."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of the forward and backward pass; weights and the loss stay in float32."""
    ls: SmoothingSection = SmoothingSection()
    mixup: MixingSection = MixingSection()
    cutmix: MixingSection = MixingSection()
    vs: VirtualSection = VirtualSection()
    optimizer: OptimizerSection = OptimizerSection()
    schedule: ScheduleSection = ScheduleSection()
    augmentation: AugmentationSection = AugmentationSection()
    objective: ObjectiveSection = ObjectiveSection()
    scan: ScanSection = ScanSection()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        schedule, epochs = self.schedule, self.epochs
        if not self.reg:
            raise _inconsistent("`reg` names no method", "--reg onehot,ls,mixup,cutmix,vs")
        if schedule.warmup >= epochs and schedule.warmup:
            raise _inconsistent(
                f"`schedule.warmup` of {schedule.warmup:g} epochs leaves none of {epochs}",
                f"--set schedule.warmup={epochs / 10:g}",
            )
        late = [epoch for epoch in schedule.milestones if epoch >= epochs]
        if late:
            # at the same shares of the run
            scaled = [round(epoch * epochs / (late[-1] * 4 / 3), 1) for epoch in schedule.milestones]
            raise _inconsistent(
                f"`schedule.milestones`: {late[0]:g} is never reached in {epochs} epochs",
                f"--set schedule.milestones='[{', '.join(f'{epoch:g}' for epoch in scaled)}]'",
            )
        self._check_grid()
        self._check_plane()
        return self

    def _check_plane(self) -> None:
        far = self.network.initialisation is not Initialisation.DEFAULT
        if (far or self.snapshots) and self.network.bottleneck != 2:
            key = f"`network.initialisation` {self.network.initialisation.value}" if far else "`snapshots`"
            raise _inconsistent(f"{key} needs features that lie in a plane", "--bottleneck 2")

    def _check_grid(self) -> None:
        smoothings = {parse_method(name).smoothing for name in self.reg}
        if self.virtuals and Smoothing.VS not in smoothings:
            raise _inconsistent(
                f"`virtuals` is a grid of virtual classes, and no method of `reg` has any: {', '.join(self.reg)}",
                "--reg onehot,vs",
            )
        if self.virtuals and self.alphas:
            raise _inconsistent("`alphas` and `virtuals` are two grids; one is taken at a time", "--set virtuals='[]'")
        if not self.alphas:
            return
        if not self.held_out:
            raise _inconsistent(
                "`alphas` is a grid, and `held_out` is 0: nothing is kept back from training to choose by",
                "--set held_out=0.1",
            )
        if smoothings == {Smoothing.NONE}:
            raise _inconsistent(
                f"`alphas` is a grid of masses, and no method of `reg` has one: {', '.join(self.reg)}",
                "--reg onehot,ls,vs",
            )

    @property
    def resolved(self) -> dict[str, JsonValue]:
        """All values, as JSON keeps them.

        Keys that came later stand there only where they say something: runs made before keep their identity.
        """
        usual = self.network.initialisation is Initialisation.DEFAULT
        later = {"snapshots": self.snapshots is None, "network": {"initialisation"} if usual else False}
        return self.model_dump(mode="json", exclude={key: what for key, what in later.items() if what})

    @property
    def sha256(self) -> str:
        """Over what decides the weights of a run: neither words, nor which runs there are, nor the audit."""
        decisive = {key: value for key, value in self.resolved.items() if key not in _INDIFFERENT}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, allow_nan=False).encode()).hexdigest()


_INDIFFERENT = ("about", "source", "reg", "seeds", "alphas", "virtuals", "snapshots", "scan")
