"""The patterns of the Euclidean Square attack, and where the windows of an image lie."""

from __future__ import annotations

import torch


def pattern(side: int) -> torch.Tensor:
    """(2, side, side) float64, of length 1: a hill beside a pit, one above the other and, transposed, side by side.

    Each is a sum of nested rectangles around its middle, the k-th of weight 1/k² (Andriushchenko et al. 2020,
    section 3.3, as their code computes it: the first half is the one with side // 2 rows).
    """
    upright = torch.cat([_hill(side // 2, side), -_hill(side - side // 2, side)])
    upright /= upright.norm()
    return torch.stack([upright, upright.T])


def tile(side: int, count: tuple[int, int], signs: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """Patterns in a grid without gaps.

    Args:
        side: of a tile.
        count: rows and columns of the grid.
        signs: (r, c, count) of every tile, row by row.
        turned: (r, count) int64, 1 where it is transposed.

    Returns:
        (r, c, count[0]·side, count[1]·side) float64.
    """
    patterns = pattern(side).to(signs.device)[turned]
    tiles = signs[..., None, None] * patterns[:, None]
    grid = tiles.reshape(*signs.shape[:2], *count, side, side).transpose(3, 4)
    return grid.flatten(4, 5).flatten(2, 3)


def places_of(corner: torch.Tensor, side: int, width: int) -> torch.Tensor:
    """(r, side²) int64: the pixels of windows with these first rows and columns, (r, 2), in flattened images."""
    along = torch.arange(side, device=corner.device)
    down, across = (corner[..., None] + along).unbind(1)
    return (down[:, :, None] * width + across[:, None, :]).flatten(1)


def _hill(height: int, width: int) -> torch.Tensor:
    values = torch.zeros(height, width, dtype=torch.float64)
    top, left = height // 2, width // 2
    for ring in range(max(top, left) + 1):
        down, across = (slice(max(middle - ring, 0), middle + ring + 1) for middle in (top, left))
        values[down, across] += 1 / (ring + 1) ** 2
    length = values.norm()
    return values / length if height else values
