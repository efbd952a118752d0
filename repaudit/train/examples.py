"""Images to learn from and images to be judged by, whole on the device as the bytes that they are stored as."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from repaudit.data import DataRequest, Part, check_reference, load, open_images
from repaudit.errors import InvalidData, InvalidRecipe
from repaudit.images import stratified
from repaudit.preprocessing import Interpolation, Preprocess
from repaudit.train.objectives import load as load_objective
from repaudit.train.objectives import options_of
from repaudit.train.streams import Purpose, key

if TYPE_CHECKING:
    from repaudit.images import ImageSet
    from repaudit.progress import Progress
    from repaudit.train.objectives import Second
    from repaudit.train.recipe import DataSection, Recipe

TEST_SHARE = 0.2
"""Kept back where nothing else is there to test on."""
ROWS = 256
"""Read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Labelled images on one device."""

    stored: torch.Tensor
    """(n, c, h, w), uint8 in 0..255 or float32 in [0, 1]."""
    labels: torch.Tensor
    """(n,) int64."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Examples:
        """Some of them, by number."""
        chosen = torch.from_numpy(rows).to(self.labels.device)
        return Examples(stored=self.stored[chosen], labels=self.labels[chosen])

    def to(self, device: torch.device) -> Examples:
        """The same images on another device."""
        return Examples(stored=self.stored.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything that the runs of a matrix learn from."""

    train: Examples
    held_out: Examples | None
    """To choose by; None where nothing is chosen."""
    test: Examples
    preprocess: Preprocess
    classes: int
    class_names: tuple[str, ...] | None
    train_fingerprint: str
    """sha256 over ids, labels and contents of the training images before anything was kept back."""
    test_reference: str
    """What `scan` is given; the training reference where a part of it was kept back."""
    test_rows: np.ndarray | None
    """Rows of the training reference that are the test set, where it has none of its own."""
    extra: Examples | None = None
    """Outliers or pseudo-labelled images, where the objective learns from any."""
    extra_fingerprint: str | None = None
    """sha256 of these, as `train_fingerprint`."""

    def on(self, device: torch.device) -> Material:
        """The same material on another device."""
        held_out = None if self.held_out is None else self.held_out.to(device)
        extra = None if self.extra is None else self.extra.to(device)
        return replace(self, train=self.train.to(device), held_out=held_out, test=self.test.to(device), extra=extra)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of all images that weights depend on."""
        extra = {} if self.extra_fingerprint is None else {"extra": self.extra_fingerprint}
        return {"train": self.train_fingerprint} | extra

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.preprocess.channels


def open_material(recipe: Recipe, device: torch.device, progress: Progress) -> Material:
    """Reads the images of a recipe.

    Raises:
        InvalidData: no reference, one that cannot be read, fewer images than a batch, or a class without images.
        InvalidRecipe: the objective cannot have the images that it learns from beside them.
    """
    if recipe.augmentation.resized_crop is not None:
        raise InvalidRecipe(
            "augmentation.resized_crop: photographs cannot be cut and resized while training yet",
            detail="images are held in memory at one size; this recipe says what was done, and cannot be carried out",
            remedy="--set augmentation.resized_crop=null   (another setting than the paper's)",
        )
    objective, options = load_objective(recipe.objective.name), options_of(recipe.objective)
    second = None if objective.second is None else objective.second(options)
    request = _request(recipe.data, progress)
    images = open_images(request)
    train, test_rows = _read(images), None
    reference = recipe.data.test or request.ref
    if recipe.data.test is not None or load(images.layout).parts:
        test = _read(open_images(replace(request, ref=reference, limit=None, part=Part.EVALUATION)))
    else:
        test_rows, kept = _parted(train.labels.numpy(), TEST_SHARE, 0)
        test, train = train.take(test_rows), train.take(kept)
        progress.note(f"{len(test)} of {len(images)} images of {reference} are kept back for the test")
    held_out = None
    if recipe.held_out:
        rows, kept = _parted(train.labels.numpy(), recipe.held_out, 1)
        held_out, train = train.take(rows), train.take(kept)
    _refuse_few(train, request.classes_count, recipe)
    extra, extra_fingerprint = (None, None) if second is None else _extra(second, train, request, recipe.batch_size)
    return Material(
        train=train.to(device),
        held_out=None if held_out is None else held_out.to(device),
        test=test.to(device),
        preprocess=replace(request.preprocess, size=(train.stored.shape[2], train.stored.shape[3])),
        classes=request.classes_count,
        class_names=images.class_names,
        train_fingerprint=images.fingerprint,
        test_reference=reference,
        test_rows=test_rows,
        extra=None if extra is None else extra.to(device),
        extra_fingerprint=extra_fingerprint,
    )


def _extra(second: Second, train: Examples, like: DataRequest, batch: int) -> tuple[Examples, str]:
    """Images of a second set as the network takes those of the first, and their fingerprint."""
    remedy = f"--set objective.{second.option}=npz:FILE"
    try:
        layout, argument = check_reference(second.reference)
        counted = load(layout).count_classes
        request = replace(
            like,
            ref=second.reference,
            preprocess=replace(like.preprocess, size=(train.stored.shape[2], train.stored.shape[3])),
            classes_count=like.classes_count if second.labelled or counted is None else counted(argument),
            limit=None,
            labelled=second.labelled,
        )
        images = open_images(request)
        extra = _read(images)
    except InvalidData as error:
        raise InvalidRecipe(f"objective.{second.option}: {error.problem}", detail=error.detail, remedy=remedy) from None
    if len(extra) < second.ratio * batch:
        raise InvalidRecipe(
            f"objective.{second.option}: {len(extra)} images are fewer than the {second.ratio * batch} of one step",
            detail=f"a batch of {batch} goes with {second.ratio} of them for each of its images",
            remedy=f"--set objective.ratio=1 --set batch_size={max(2, len(extra) // 2)}",
        )
    return extra, images.fingerprint


def _request(section: DataSection, progress: Progress) -> DataRequest:
    """For the training images, and with other words for those of the test."""
    if section.train is None:
        raise InvalidData("the recipe names no training images", remedy="--data npz:FILE, imagefolder:DIR, digits, …")
    layout, argument = check_reference(section.train)
    return DataRequest(
        ref=section.train,
        preprocess=Preprocess(
            mean=section.mean,
            std=section.std,
            size=section.size,
            resize=section.resize,
            interpolation=Interpolation(section.interpolation),
            source="the recipe",
        ),
        classes_count=section.classes or _count(layout, argument),
        class_ids=None,
        limit=section.limit,
        seed=0,
        skip_bad_images=False,
        workers=0,
        progress=progress,
        part=Part.TRAINING,
    )


def _count(layout: str, argument: str | None) -> int:
    counted = load(layout).count_classes
    if counted is None:
        raise InvalidData(f"nothing says how many classes `{layout}` has", remedy="--set data.classes=10")
    return counted(argument)


def _read(images: ImageSet) -> Examples:
    batches = list(images.batches(ROWS))
    shapes = {tuple(batch.stored.shape[1:]) for batch in batches}
    if len(shapes) > 1:
        raise InvalidData(
            f"the images of {images.ref} are of {len(shapes)} sizes", remedy="--set data.size='[224, 224]'"
        )
    return Examples(
        stored=torch.cat([batch.stored for batch in batches]), labels=torch.cat([batch.labels for batch in batches])
    )


def _parted(labels: np.ndarray, share: float, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a stratified share, and the others; always the same ones."""
    rows = stratified(labels, max(1, round(share * len(labels))), key(0, Purpose.HELD_OUT, part))
    return rows, np.setdiff1d(np.arange(len(labels)), rows)


def _refuse_few(train: Examples, classes: int, recipe: Recipe) -> None:
    if len(train) < recipe.batch_size:
        raise InvalidData(
            f"{len(train)} training images are fewer than one batch of {recipe.batch_size}",
            remedy=f"--set batch_size={max(2, len(train) // 4)}",
        )
    counts = torch.bincount(train.labels.cpu(), minlength=classes)
    absent = torch.nonzero(counts == 0).flatten().tolist()
    if absent:
        shown = ", ".join(str(index) for index in absent[:5]) + (", …" if len(absent) > 5 else "")
        raise InvalidData(
            f"{len(absent)} of {classes} classes have no training image: {shown}",
            detail="a class that is never seen is never predicted, and its confidence means nothing",
            remedy=f"--set data.classes={int((counts > 0).sum())} with labels counted from 0, or more images",
        )
