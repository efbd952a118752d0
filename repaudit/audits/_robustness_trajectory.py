"""How features move while an attack runs (arXiv 2410.03999, Fig. 13 and App. N)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repaudit.attacks.verdict import Witness
from repaudit.audits._robustness_relations import band_lists
from repaudit.finding import Figure
from repaudit.metrics.alignment import cosines_to, feature_norms
from repaudit.metrics.bands import group_bands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repaudit.attacks.verdict import Evaluation

FIRST_QUERIES = 16
"""Queries for which there is room before the first growth."""


class Trajectory(Witness):
    """Three numbers an image and query: RMS of the feature, its cosine to the true class's centre, the margin.

    They are kept one by one, 24 bytes a query, and summed at the end in the order of the images: sums taken as
    the queries come in would depend, in their last bits, on how many rows the pool has.
    """

    def __init__(self, kept: np.ndarray, labels: np.ndarray, centers: np.ndarray | None) -> None:
        """Makes room.

        Args:
            kept: (k,) int64, rising: the kept images, as positions among the attacked ones.
            labels: (n₀,) of the attacked images.
            centers: (c, d) minimum-loss points, NaN rows where a class has none; None where there are none at all.
        """
        self._labels, self._centers, self._kept = labels, centers, kept
        self._seen = np.full((3, len(kept), FIRST_QUERIES), np.nan)

    def saw(self, subject: np.ndarray, iteration: np.ndarray, features: np.ndarray | None, logits: np.ndarray) -> None:
        """Takes one query of each of r kept images."""
        if not len(subject):
            return
        self._reach(int(iteration.max()))
        row, labels = np.searchsorted(self._kept, subject), self._labels[subject]
        if features is not None:
            norms = feature_norms(features)
            self._seen[0, row, iteration] = norms / np.sqrt(features.shape[1])
            if self._centers is not None:
                classes, chosen = np.unique(labels, return_inverse=True)
                self._seen[1, row, iteration] = cosines_to(features, norms, self._centers[classes], chosen)
        self._seen[2, row, iteration] = _margins(logits, labels)

    def figure(self, evaluation: Evaluation) -> Iterator[Figure]:
        """`robustness.<key>.trajectory`: mean, sd and t interval of the three by query; none where nothing was seen.

        Args:
            evaluation: the one that was watched.
        """
        asked = np.isfinite(self._seen).any(axis=(0, 1))
        if not asked.any():
            return
        length = int(np.flatnonzero(asked)[-1]) + 1
        query = np.tile(np.arange(length), len(self._kept))
        rms, cosine, margin = (group_bands(values[:, :length].ravel(), query, length) for values in self._seen)
        yield Figure(
            key=f"robustness.{evaluation.setting.key}.trajectory",
            data={
                "attack": evaluation.members[0],
                "center": "minimum_loss",
                "query": list(range(length)),
                "count": margin.count.tolist(),
                "rms": band_lists(rms),
                "cosine": band_lists(cosine),
                "margin": band_lists(margin),
                "n": len(self._kept),
            },
        )

    def _reach(self, query: int) -> None:
        """Makes room for this query, at least doubling what there is."""
        room = self._seen.shape[2]
        if query >= room:
            more = np.full((*self._seen.shape[:2], max(room, query + 1 - room)), np.nan)
            self._seen = np.concatenate([self._seen, more], axis=2)


def _margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(r,) float64: the label's logit − the largest other."""
    exact, rows = logits.astype(np.float64), np.arange(len(labels))
    own = exact[rows, labels]
    exact[rows, labels] = -np.inf
    with np.errstate(invalid="ignore"):
        margin: np.ndarray = own - exact.max(axis=1)
    return margin
