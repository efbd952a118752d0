"""The counter-based noise of `repaudit.randomness`, on the device: bit-equal uniforms, many rows at once.

Keys are int64 here (torch has no arithmetic on uint64); only their bits matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from repaudit.attacks.threat import Norm, Threat
from repaudit.randomness import stream_key, text_key

if TYPE_CHECKING:
    from collections.abc import Sequence


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def job_key(seed: int, image: str, attack: str, *, target: int, restart: int) -> int:
    """The stream of one job, as a signed 64-bit number; `step_keys` derives those of its steps."""
    return _signed(stream_key(seed, text_key(image), text_key(attack), target, restart))


def step_keys(keys: torch.Tensor, step: int | torch.Tensor) -> torch.Tensor:
    """(r,) int64: the streams of one step, equal to `stream_key(…, step)` of the jobs' own parts.

    Args:
        keys: (r,) of jobs.
        step: one for all, or (r,) int64.
    """
    steps = torch.as_tensor(step, dtype=torch.int64, device=keys.device)
    return _mix(keys ^ (steps * _GOLDEN + _GOLDEN))


def uniforms(keys: torch.Tensor, count: int) -> torch.Tensor:
    """The first `count` uniforms of each stream, equal to `repaudit.randomness.uniforms` bit by bit.

    Args:
        keys: (r,) int64.
        count: how many of each.

    Returns:
        (r, count) float32 in [0, 1), on the device of `keys`.
    """
    index = torch.arange(count, dtype=torch.int64, device=keys.device) * _GOLDEN
    value = _mix(keys[:, None] + index[None, :])
    return _shifted(value, 40).to(torch.float32).mul_(2.0**-24)


def normals(keys: torch.Tensor, count: int) -> torch.Tensor:
    """The first `count` standard normals of each stream, (r, count) float32 (Box & Muller 1958).

    Processor and accelerator agree to about 1e-6: logarithm and cosine are not the same to the last bit.
    """
    half = (count + 1) // 2
    pairs = uniforms(keys, 2 * half).double()
    radius = torch.sqrt(-2 * torch.log1p(-pairs[:, :half]))
    angle = 2 * torch.pi * pairs[:, half:]
    both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return both[:, :count].float()


def uniform_in_ball(threat: Threat, keys: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """One perturbation a stream, distributed uniformly in the ball.

    Args:
        threat: the ball.
        keys: (r,) int64, used for nothing else.
        shape: of one image, (c, h, w).

    Returns:
        (r, c, h, w) float32.
    """
    size = 1
    for side in shape:
        size *= side
    if threat.norm is Norm.LINF:
        return uniforms(keys, size).mul_(2).sub_(1).mul_(threat.epsilon).reshape(-1, *shape)
    direction = normals(step_keys(keys, 0), size).double()
    length = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    radius = threat.epsilon * uniforms(step_keys(keys, 1), 1).double() ** (1 / size)
    perturbation: torch.Tensor = (direction * (radius / length)).float().reshape(-1, *shape)
    return perturbation


def _mix(value: torch.Tensor) -> torch.Tensor:
    value = value + _GOLDEN
    value = (value ^ _shifted(value, 30)) * _MIX_1
    value = (value ^ _shifted(value, 27)) * _MIX_2
    return value ^ _shifted(value, 31)


def _shifted(value: torch.Tensor, bits: int) -> torch.Tensor:
    """The logical shift to the right: torch's own copies the sign into the upper bits."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
