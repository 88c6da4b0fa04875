"""Random numbers that are functions of (seed, sample, position) alone.

What is drawn for a sample does not depend on the batch, the micro-batch, the process or the device it is drawn in: a
resumed run, another number of workers and accumulation in pieces all see the same numbers. The generator is splitmix64
(Steele, Lea and Flood, 2014, Fast Splittable Pseudorandom Number Generators), written for 64-bit integer tensors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mixed_seed(seed: int, number: int) -> int:
    """A seed for one epoch or step, unrelated to that of the next (splitmix64's finaliser), in [0, 2^63)."""
    z = (seed + (number + 1) * GOLDEN) % 2**64
    z = ((z ^ (z >> 30)) * FIRST) % 2**64
    z = ((z ^ (z >> 27)) * SECOND) % 2**64
    return (z ^ (z >> 31)) >> 1


def bits(seed: int, index: Tensor, length: int, stream: int = 0) -> Tensor:
    """63 random bits for each of `length` positions of each sample: int64 (B, length) from `index` (B,), on its device.

    Different `stream`s give unrelated numbers for the same samples."""
    start = signed(mixed_seed(seed, stream) << 1)
    samples = mixed(index.to(torch.int64) * signed(GOLDEN) + start)
    positions = torch.arange(1, length + 1, device=index.device, dtype=torch.int64) * signed(GOLDEN)
    return mixed(samples[:, None] + positions[None, :]) & (2**63 - 1)


def uniform(seed: int, index: Tensor, length: int, stream: int = 0) -> Tensor:
    """float64 (B, length) in [0, 1), see `bits`."""
    return (bits(seed, index, length, stream) >> 10).to(torch.float64) * 2.0**-53


def normal(seed: int, index: Tensor, length: int, stream: int = 0) -> Tensor:
    """float64 (B, length) of mean 0 and variance 1 (Box and Muller), see `bits`."""
    half = (length + 1) // 2
    draws = uniform(seed, index, 2 * half, stream)
    radius = torch.sqrt(-2 * torch.log1p(-draws[:, :half]))
    angle = 2 * math.pi * draws[:, half:]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], 1)[:, :length]


def mixed(z: Tensor) -> Tensor:
    """splitmix64's finaliser over int64 tensors, whose products wrap around as unsigned ones do."""
    z = (z ^ shifted(z, 30)) * signed(FIRST)
    z = (z ^ shifted(z, 27)) * signed(SECOND)
    return z ^ shifted(z, 31)


def shifted(z: Tensor, by: int) -> Tensor:
    """A logical shift to the right: torch's own keeps the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def signed(word: int) -> int:
    """A 64-bit word as the int64 with the same bits."""
    word %= 2**64
    return word - 2**64 if word >= 2**63 else word
