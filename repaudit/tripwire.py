"""Labels in another order than the model's: the commonest silent mistake in evaluating a checkpoint."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from repaudit.errors import InvalidData
from repaudit.finding import Notice
from repaudit.metrics.intervals import Counts, bound

if TYPE_CHECKING:
    from repaudit.evidence import Evidence
    from repaudit.images import ImageSet

LEAST_IMAGES = 30
PAIRS_SHOWN = 5
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
        A notice where a model that is sure of itself is at chance without agreeing with itself; None otherwise.

    Raises:
        InvalidData: permuted labels, with the most frequent (label, prediction) pairs.
    """
    n, classes = evidence.logits.shape
    if n < LEAST_IMAGES:
        return None
    summary = evidence.summary
    hits = Counts(int(summary.correct.sum()), n)
    implied = implied_accuracy(evidence.labels, summary.prediction)
    agreeing = (
        implied is not None
        and implied > CONSISTENT
        and injective_share(evidence.labels, summary.prediction) > INJECTIVE
    )
    if implied is not None and agreeing and bound(hits, 0.99, "upper") < FAR_BELOW * implied:
        names = images.class_names or class_ids
        raise InvalidData(
            f"{hits.successes} of {n} images are right, but images of one label get the same prediction as if "
            f"{implied:.0%} were: labels and the model's classes are in different orders",
            detail=f"labels came from: {images.label_source}\n{_pairs(evidence.labels, summary.prediction, names)}",
            remedy="labels in the model's class order; for image files: --data csv:FILE with lines of path,label",
        )
    sure = float(summary.confidence.mean())
    if classes > 1 and sure > min(0.5, 10 / classes) and bound(hits, 0.99, "lower") <= 1.2 / classes:
        return Notice(
            code="accuracy-at-chance",
            message=f"accuracy {hits.successes / n:.3f} is no better than chance while mean confidence is {sure:.2f}: "
            "check the labels and the preprocessing",
        )
    return None


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


def _pairs(labels: np.ndarray, predictions: np.ndarray, names: tuple[str, ...] | None) -> str:
    def name(index: int) -> str:
        return f"{index}" if names is None or names[index] == str(index) else f"{index} {names[index]}"

    pairs = Counter(zip(labels.tolist(), predictions.tolist(), strict=True))
    return "\n".join(
        f"labelled {name(label)}, predicted {name(prediction)}: {count} images"
        for (label, prediction), count in pairs.most_common(PAIRS_SHOWN)
    )
