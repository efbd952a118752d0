"""How success or size goes with a property of the images: correlations, bins, and lists for figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repaudit.audits._robustness_verdicts import saturated
from repaudit.finding import Better, FigureValue, Measurement, Skipped, Unit
from repaudit.metrics.alignment import pearson, spearman
from repaudit.metrics.intervals import fisher_pearson, fisher_spearman

if TYPE_CHECKING:
    from collections.abc import Callable

    from repaudit.metrics.bands import Bands
    from repaudit.metrics.intervals import Interval

BINS = 10
ASSOCIATED = "association over images, no cause"


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal bins between the smallest and the largest of some values."""

    edges: np.ndarray
    """(BINS + 1,), rising."""
    place: np.ndarray
    """(m,) int64: the bin of each value."""

    @property
    def count(self) -> np.ndarray:
        """(BINS,) values a bin."""
        return np.bincount(self.place, minlength=BINS)


def bins_of(values: np.ndarray) -> Bins:
    """Ten equal bins over at least one finite value."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, BINS + 1)
    return Bins(edges, np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1))


def success_by_cosine(cosines: np.ndarray, success: np.ndarray) -> dict[str, FigureValue]:
    """Share of broken images in bins of the cosine to the minimum-loss point (RS, Fig. 3 middle).

    Args:
        cosines: (m,) finite, m ≥ 1.
        success: (m,) 0 or 1.
    """
    bins = bins_of(cosines)
    hits = np.bincount(bins.place, weights=success, minlength=BINS)
    share = np.divide(hits, bins.count, out=np.full(BINS, np.nan), where=bins.count > 0)
    return {
        "center": "minimum_loss",
        "edges": bins.edges.tolist(),
        "count": bins.count.tolist(),
        "success": listed(share),
        "spearman_p": p_value(spearman(success, cosines), len(cosines)),
        "saturated": saturated(int(success.sum()), len(success)),
        "n": len(cosines),
    }


def band_lists(bands: Bands) -> dict[str, FigureValue]:
    """Mean, standard deviation and 95 % t interval as a figure holds them."""
    return {name: listed(getattr(bands, name)) for name in ("mean", "sd", "low", "high")}


def listed(values: np.ndarray) -> list[FigureValue]:
    """JSON numbers; null where a value is not finite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def correlation(key: str, left: np.ndarray, right: np.ndarray, note: str, *, rank: bool) -> Measurement | Skipped:
    """Spearman's (`rank`) or Pearson's correlation of two finite vectors with Fisher's z interval."""
    value = spearman(left, right) if rank else pearson(left, right)
    if value is None:
        return Skipped(key=key, reason=_constant(left, right))
    fisher: Callable[[float, int], Interval] = fisher_spearman if rank else fisher_pearson
    enough = len(left) > 3
    return Measurement(
        key=key,
        value=value,
        unit=Unit.CORRELATION,
        better=Better.NEITHER,
        n=len(left),
        interval=fisher(value, len(left)) if enough else None,
        interval_reason=None if enough else "fewer than four images",
        note=note,
    )


def p_value(r: float | None, n: int) -> float | None:
    """Two-sided p of no monotone association, by the t approximation; None where it is undefined."""
    if r is None or n < 4 or abs(r) >= 1:
        return None
    from scipy.special import stdtr

    t = abs(r) * np.sqrt((n - 2) / (1 - r * r))
    return float(2 * stdtr(n - 2, -t))


def _constant(left: np.ndarray, right: np.ndarray) -> str:
    if len(left) < 2:
        return f"{len(left)} images are too few to correlate anything"
    if np.ptp(left) == 0 and set(np.unique(left)) <= {0.0, 1.0}:
        return f"saturated: the attack breaks {'every' if left[0] else 'no'} image"
    return f"one of the two is constant over the {len(left)} images"
