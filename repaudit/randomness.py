"""Noise that depends on what it is for, never on when or beside whom it is drawn.

A stream key is a 64-bit hash of (seed, the image id's blake2b, purpose numbers); the i-th uniform of a
key is a hash of (key, i). So a verdict is the same in any batch, order, shard or resumed run.
The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A numpy generator that belongs to one seed and one purpose."""
    digest = blake2b(f"{seed}\0{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def text_key(text: str) -> int:
    """64 bits of an id's blake2b."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def stream_key(seed: int, *parts: int) -> int:
    """The key of the stream that belongs to `seed` and the numbered parts, in 0..2⁶⁴ − 1."""
    key = mix(seed & _MASK)
    for part in parts:
        key = mix(key ^ ((part * _GOLDEN + _GOLDEN) & _MASK))
    return key


def mix(value: int) -> int:
    """SplitMix64's finaliser of one 64-bit number."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def uniforms(keys: np.ndarray, count: int) -> np.ndarray:
    """The first `count` uniforms of each stream.

    Args:
        keys: (r,) uint64 stream keys.
        count: how many of each.

    Returns:
        (r, count) float32 in [0, 1): the upper 24 bits of hash(key + i·golden), exact in float32.
    """
    with np.errstate(over="ignore"):
        index = np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN)
        value = keys.astype(np.uint64)[:, None] + index[None, :] + np.uint64(_GOLDEN)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX_1)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX_2)
        value ^= value >> np.uint64(31)
    return (value >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
