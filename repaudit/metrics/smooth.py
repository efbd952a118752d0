"""Calibration error without bins: residuals smoothed by a kernel as wide as the error itself."""

from __future__ import annotations

import numpy as np

GRID = 1 << 14
"""Cells over [0, 1]; residuals are split linearly between the two nearest nodes."""
HALVINGS = 40


def smooth_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Smooth expected calibration error smECE in [0, 1] (Błasiok & Nakkiran 2023, section 3).

    smECE_σ = ∫ |(1/n) Σ_i K_σ(t, conf_i)(conf_i − correct_i)| dt over t in [0, 1], with the Gaussian
    kernel K_σ reflected at 0 and 1. It falls as σ grows; the value given is the one that equals its
    own σ, so no width has to be chosen. Reflection without end makes cosines the kernel's
    eigenfunctions, with eigenvalues exp(−π²k²σ²/2): two cosine transforms smooth exactly.

    Args:
        confidence: (n,) in [0, 1].
        correct: (n,) bool.

    Raises:
        ValueError: no image, or shapes that differ.
    """
    from scipy.fft import dct  # here: the light side must not pay for it

    if confidence.shape != correct.shape or len(confidence) == 0:
        raise ValueError(f"confidence of shape {confidence.shape} but correctness of shape {correct.shape}")
    mass = _on_grid(np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64))
    mass[[0, -1]] *= 2
    coefficients = dct(mass, type=1) / 2
    decay = -(np.pi**2) / 2 * np.arange(GRID + 1) ** 2

    def at_width(sigma: float) -> float:
        density = np.abs(dct(coefficients * np.exp(decay * sigma**2), type=1))
        return float(density.sum() - (density[0] + density[-1]) / 2) / GRID

    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if at_width(middle) > middle:
            low = middle
        else:
            high = middle
    return at_width(high)


def _on_grid(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """(GRID + 1,) mean residual mass at each node."""
    residual = (confidence - correct) / len(confidence)
    place = confidence * GRID
    left = np.minimum(place.astype(np.int64), GRID - 1)
    share = place - left
    return np.bincount(left, weights=residual * (1 - share), minlength=GRID + 1) + np.bincount(
        left + 1, weights=residual * share, minlength=GRID + 1
    )
