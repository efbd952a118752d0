"""How large the squares are at each query, and the shape of those of the Euclidean version."""

from __future__ import annotations

import math

import torch

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of the image is halved (Andriushchenko et al. 2020, section 5.1, of 10,000)."""


def sides(height: int, width: int, queries: int, share: float, *, least: int, odd: bool) -> list[int]:
    """Side of the square at queries 1 to `queries`, one list entry each.

    The published schedule, not stretched to fewer queries, as AutoAttack uses it.

    Args:
        height: of the images.
        width: of the images.
        queries: after the initial one.
        share: of the pixels that the first squares cover.
        least: smallest side.
        odd: even sides are made one larger.
    """
    found = []
    for query in range(queries):
        now = share / 2 ** sum(query > after for after in HALVINGS)
        side = max(round(math.sqrt(now * height * width)), least)
        side += odd and side % 2 == 0
        found.append(min(side, height, width))
    return found


def eta(side: int) -> torch.Tensor:
    """(side, side) float32 of unit length: two peaks of opposite sign, one above the other (appendix A.1 there)."""
    upper = side // 2
    both = torch.zeros(side, side)
    both[:upper] = _peak(upper, side)
    both[upper:] = -_peak(side - upper, side)
    return both / both.square().sum().sqrt().clamp_min(torch.finfo(torch.float32).tiny)


def _peak(height: int, width: int) -> torch.Tensor:
    """(height, width): 1/k² summed over nested rectangles around the middle, of unit length."""
    peak = torch.zeros(height, width)
    top, left = height // 2, width // 2
    for ring in range(max(height // 2 + 1, width // 2 + 1)):
        rows = slice(max(top - ring, 0), min(top + ring + 1, height))
        columns = slice(max(left - ring, 0), min(left + ring + 1, width))
        peak[rows, columns] += 1 / (ring + 1) ** 2
    return peak / peak.square().sum().sqrt().clamp_min(torch.finfo(torch.float32).tiny)
