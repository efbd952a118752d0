"""Labels in another order than the model's: the commonest silent mistake in evaluating a checkpoint."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidData, printable
from repaudit.finding import Notice
from repaudit.metrics.intervals import Counts, bound

if TYPE_CHECKING:
    from repaudit.evidence import Evidence
    from repaudit.images import ImageSet

LEAST_IMAGES = 30
LEAST_AT_CHANCE = 16
"""Images from which it is worth a remark that hardly any is right."""
FEW = 10
"""Times as many classes as are among the labels: these may be the labels of another set of classes."""
PAIRS_SHOWN = 5
NAME_SHOWN = 60
BY_POSITION = "labels-by-position"
"""Code of the notice that the order of the folders' names alone gave the labels."""
INJECTIVE = 0.6
"""Share of labels that have a most frequent prediction of their own, as under a permutation."""
CONSISTENT = 0.4
"""Implied accuracy from which predictions within one label count as consistent."""
FAR_BELOW = 0.25
"""Of the implied accuracy: what a model with rightly ordered labels always exceeds."""


def check_label_order(evidence: Evidence, images: ImageSet, class_ids: tuple[str, ...] | None) -> Notice | None:
    """Stops where predictions agree with one another within a label, but not with the label.

    Two images of one label get the same prediction with probability about accuracy², whatever the order of the
    labels. The excess of that agreement over what the frequency of each prediction explains implies an accuracy;
    where the one found lies far below it, and different labels go to different predictions, labels are
    permuted. A hard data set (few agree) and an untrained network (all labels go to a few predictions) are let pass.

    Returns:
        A notice where a model is at chance without agreeing with itself, although it is sure of itself or the labels
        use only a few of its classes; None otherwise.

    Raises:
        InvalidData: permuted labels, with the most frequent (folder or label -> prediction) pairs.
    """
    n = len(evidence)
    hits = Counts(int(evidence.summary.correct.sum()), n)
    if n >= LEAST_IMAGES:
        _refuse_permuted(evidence, images, class_ids, hits)
    return _at_chance(evidence, hits) if n >= LEAST_AT_CHANCE else None


def _refuse_permuted(evidence: Evidence, images: ImageSet, class_ids: tuple[str, ...] | None, hits: Counts) -> None:
    summary = evidence.summary
    implied = implied_accuracy(evidence.labels, summary.prediction)
    agreeing = (
        implied is not None
        and implied > CONSISTENT
        and injective_share(evidence.labels, summary.prediction) > INJECTIVE
    )
    if implied is not None and agreeing and bound(hits, 0.99, "upper") < FAR_BELOW * implied:
        raise InvalidData(
            f"{hits.successes} of {hits.trials} images are right, but images of one label get the same prediction as "
            f"if {implied:.0%} were: labels and the model's classes are in different orders",
            detail=f"labels came from: {images.label_source}\n{_table(evidence, images, class_ids)}",
            remedy=_remedy(evidence, images),
        )


def _at_chance(evidence: Evidence, hits: Counts) -> Notice | None:
    n, classes = evidence.logits.shape
    if classes < 2 or bound(hits, 0.99, "lower") > 1.2 / classes:
        return None
    confidence, used = float(evidence.summary.confidence.mean()), len(np.unique(evidence.labels))
    sure = n >= LEAST_IMAGES and confidence > min(0.5, 10 / classes)
    few = FEW * used <= classes and n >= 2 * used and hits.successes * classes <= 1.2 * n
    if not sure and not few:
        return None
    told = f"accuracy {hits.successes / n:.3f} is no better than chance"
    told += f" while mean confidence is {confidence:.2f}" if sure else ""
    told += f", and the labels use {used:,} of the model's {classes:,} classes" if few else ""
    return Notice(code="accuracy-at-chance", message=f"{told}: check the labels and the preprocessing")


def implied_accuracy(labels: np.ndarray, predictions: np.ndarray) -> float | None:
    """√ of how much more often two images of one label share a prediction than two images at large.

    Returns:
        In [0, 1]; None with fewer than 30 pairs of images that share a label.
    """
    together = Counter(zip(labels.tolist(), predictions.tolist(), strict=True))
    per_label = np.bincount(labels).astype(np.float64)
    pairs = float((per_label * (per_label - 1)).sum())
    if pairs < 2 * LEAST_IMAGES:
        return None
    agreeing = sum(count * (count - 1) for count in together.values()) / pairs
    share = np.bincount(predictions) / len(predictions)
    return math.sqrt(max(0.0, agreeing - float((share**2).sum())))


def injective_share(labels: np.ndarray, predictions: np.ndarray) -> float:
    """How many different predictions are the most frequent one of some label, over the number of labels, in (0, 1]."""
    favourite = [int(np.bincount(predictions[labels == label]).argmax()) for label in np.unique(labels)]
    return len(set(favourite)) / len(favourite)


def _table(evidence: Evidence, images: ImageSet, class_ids: tuple[str, ...] | None) -> str:
    """The labels that are most often predicted as another class, one a line: where they came from, and as what."""
    labels, predictions = evidence.labels, evidence.summary.prediction
    images_of = np.bincount(labels)
    pairs = Counter(zip(labels.tolist(), predictions.tolist(), strict=True))
    wrong = [(pair, count) for pair, count in pairs.most_common() if pair[0] != pair[1]][:PAIRS_SHOWN]
    lines = []
    for (label, prediction), count in wrong:
        folder = _folder(evidence, label)
        given = f"folder {folder} (label {label})" if folder else f"label {_named(label, images.class_names)}"
        lines.append((given, f"predicted {_named(prediction, class_ids)}: {count} of {images_of[label]} images"))
    width = max((len(given) for given, _ in lines), default=0)
    return "\n".join(f"{given:<{width}} -> {found}" for given, found in lines)


def _folder(evidence: Evidence, label: int) -> str | None:
    """The folder in which all images of a label lie; None where there is none."""
    folders = {evidence.ids[row].rpartition("/")[0] for row in np.flatnonzero(evidence.labels == label)}
    return _short(folders.pop()) or None if len(folders) == 1 else None


def _named(index: int, names: tuple[str, ...] | None) -> str:
    return f"{index}" if names is None or names[index] == str(index) else f"{index} {_short(names[index])}"


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= NAME_SHOWN else f"{shown[: NAME_SHOWN - 1]}…"


def _remedy(evidence: Evidence, images: ImageSet) -> str:
    if any(notice.code == BY_POSITION for notice in images.notices):
        first = _folder(evidence, int(evidence.labels.min())) or "NAME"
        return (
            f'class_to_idx.json beside the class folders, with {{"{first}": INDEX, …}} in the order of the classes '
            "in training"
        )
    return "labels in the model's class order; for image files: --data csv:FILE with lines of path,label"
