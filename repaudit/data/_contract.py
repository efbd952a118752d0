"""What a data layout is given, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from repaudit.images import ImageSet
    from repaudit.preprocessing import Preprocess
    from repaudit.progress import Progress


class Part(StrEnum):
    """Which images of a set that is published in two parts."""

    EVALUATION = "evaluation"
    TRAINING = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """Which images are wanted, and for which classifier."""

    ref: str
    """`name[:argument]`, or a folder or file whose layout is recognised."""
    preprocess: Preprocess
    """Its geometry is applied here; its normalisation lies inside the classifier."""
    classes_count: int
    class_ids: tuple[str, ...] | None
    """Stable names of the classes in the model's order (ImageNet: wnids), where known."""
    limit: int | None
    """At most so many images, stratified by class; None takes all."""
    seed: int
    """Of the choice."""
    skip_bad_images: bool
    """Leave out what cannot be decoded instead of stopping."""
    workers: int
    """Processes that decode; 0 decodes in this one."""
    progress: Progress
    part: Part = Part.EVALUATION
    """Of a set with parts; one without gives all its images for either."""
    labelled: bool = True
    """Whether labels are wanted; of outliers they need not be there, and whatever is there is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way in which labelled images lie on a disk."""

    summary: str
    """One line for `repaudit list data`."""
    recognises: Callable[[Path], bool]
    """Whether an existing folder or file lies in this way and in no other; must be quick."""
    open: Callable[[str | None, DataRequest], ImageSet]
    """Opens what follows the colon of a reference (None without one)."""
    named: frozenset[str] = frozenset()
    """What may follow the colon without being a path."""
    variable: str | None = None
    """The environment variable that holds the path where none follows, where there is one."""
    parts: bool = False
    """Whether training and evaluation images are told apart by the same reference."""
    count_classes: Callable[[str | None], int] | None = None
    """How many classes what follows the colon has; None where only a model's classes can tell."""
